//! Tests over generated reports; filled below.
