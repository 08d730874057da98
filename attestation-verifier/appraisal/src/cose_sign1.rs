//! COSE_Sign1 objects made by others.
