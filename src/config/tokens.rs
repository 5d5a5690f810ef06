//! `[[tokens]]`: the people, and whether enough of them can do what the policies need.
//!
//! Never: shows a hash; whoever has it can test guesses.

use std::collections::BTreeSet;

use super::problem::Findings;
use super::section::Section;
use super::{Role, TokenConfig};
use crate::domain::policy::{Mode, Policy};

/// Example hashes begin with this many zero bytes; no token is known for them.
const EXAMPLE_ZERO_BYTES: usize = 28;

/// `[[tokens]]`
pub(super) fn tokens(sections: Vec<Section<'_>>) -> Vec<TokenConfig> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut hashes: BTreeSet<[u8; 32]> = BTreeSet::new();
    let mut tokens = Vec::new();
    for mut section in sections {
        let name = section.required_text("name", "the name of a person");
        if let Some(name) = &name {
            if name.chars().count() > 64 || name.chars().any(char::is_control) {
                section.problem("name", "expected at most 64 characters on one line");
            } else if !names.insert(name.clone()) {
                section
                    .problem("name", "an earlier token has the same name; approvals tell people apart by it");
            }
        }
        let roles = [Role::Viewer, Role::Operator, Role::Approver, Role::Admin];
        if !section.has("role") {
            section.problem("role", "missing; expected one of viewer, operator, approver, admin");
        }
        let role = section.choice("role", &roles.map(|role| (role.as_str(), role)));
        let sha256 = hash(&mut section);
        if sha256.is_some_and(|hash| !hashes.insert(hash)) {
            section.problem("sha256", "an earlier token has the same hash; one token is one person");
        }
        section.finish();
        if let (Some(name), Some(role), Some(sha256)) = (name, role, sha256) {
            tokens.push(TokenConfig { name, role, sha256 });
        }
    }
    tokens
}

fn hash(section: &mut Section<'_>) -> Option<[u8; 32]> {
    const EXPECTED: &str = "the SHA-256 of the token, 64 hex digits (unhang token new prints it)";
    section.refuse_inline("token", "sha256 with the token's SHA-256");
    section.refuse_inline("secret", "sha256 with the token's SHA-256");
    if !section.has("sha256") {
        section.problem("sha256", format!("missing; expected {EXPECTED}"));
    }
    let hash = section.parsed("sha256", EXPECTED, |text| {
        let mut bytes = [0_u8; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
    })?;
    if hash.iter().take_while(|&&byte| byte == 0).count() >= EXAMPLE_ZERO_BYTES {
        section.findings().example_at(section.key("sha256"));
    }
    Some(hash)
}

/// Whether the people suffice for what the policies may ask of them.
pub(super) fn judge(policies: &[Policy], tokens: &[TokenConfig], findings: &Findings) {
    // Mode auto asks a person as well: for a source that may only propose, and for an old episode.
    let asking = policies.iter().find(|policy| matches!(policy.mode, Mode::Approve | Mode::Auto));
    let Some(asking) = asking else {
        return;
    };
    let approvers = tokens.iter().filter(|token| token.role >= Role::Approver).count();
    if approvers == 0 {
        findings.problem(
            "tokens",
            format!(
                "policies.{} can wait for an approval, but no token has the role approver or admin",
                asking.name
            ),
        );
    } else if approvers < 2 {
        findings.warning(
            "tokens",
            "fewer than two people may settle; closing an unknown as not happened needs two",
        );
    }
}
