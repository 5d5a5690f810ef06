//! The binary: installs the TLS provider, builds the runtime, runs the command line.
//!
//! Never: does any of the work, or shows a backtrace.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The only provider in the tree; a second call fails and changes nothing.
    let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    drop(installed);
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
