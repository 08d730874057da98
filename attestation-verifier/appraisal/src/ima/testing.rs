//! Lists made by code, as a kernel would write them.
