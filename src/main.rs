//! The binary: installs the TLS provider, keeps what it writes and holds to its owner, builds the runtime, runs the
//! command line.
//!
//! Never: does any of the work, or shows a backtrace.

use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit, umask};

fn main() -> ExitCode {
    // The only provider in the tree; a second call fails and changes nothing.
    let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    drop(installed);
    keep_private();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(unhang::cli::run());
            // A thread that still reads standard input must not keep the process.
            runtime.shutdown_background();
            code
        }
        Err(error) => unhang::cli::no_runtime(&error),
    }
}

/// Files are made for their owner only, and no dump of this memory, which holds keys, is left anywhere. Where the system
/// refuses one of them it is as it was: the units that are shipped say the same.
fn keep_private() {
    umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let _refused = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _refused = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
