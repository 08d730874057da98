//! How the agent is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The TSS opens its transport libraries by name when the TPM is opened, and again after it was lost. By then the
    // agent is confined and can map no code. Linked, they are there from the start, and opening them again finds them.
    let libraries =
        "-Wl,--push-state,--no-as-needed,-ltss2-tcti-device,-ltss2-tcti-swtpm,--pop-state";
    println!("cargo:rustc-link-arg-bins={libraries}");
    // Functions that came out alike are one. The pinned toolchain links with LLD, which knows it.
    println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    // Relocations as a bitmap: a sixteenth of the program less. Needs glibc 2.36, which Debian 12 has.
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
