//! Reference values from signed CoRIM.
