//! `openapi`: the API document, without a service.
//!
//! Never: another document than the service answers with.

use clap::Args;

use super::failure::Failure;
use super::out::Out;

/// Print the API document (OpenAPI 3.1)
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang openapi > unhang.json
  unhang openapi | jq '.paths | keys'

A running service answers with the same at /api/openapi.json, and shows it at /api/docs.")]
pub(super) struct OpenapiArgs {}

/// Prints it.
pub(super) fn run(OpenapiArgs {}: &OpenapiArgs, out: &mut Out) -> Result<(), Failure> {
    Ok(out.json(crate::http::document())?)
}
