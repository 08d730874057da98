//! Paths from a certificate up to a pinned root (RFC 5280 section 6, as far as the profiles read here need it).
