//! The Dockerfile, as far as it can be judged without building it: nothing needs a shell, nobody is root, versions agree.

use std::path::Path;

use crate::asked;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The instructions of the Dockerfile, each on one line.
fn instructions() -> Vec<String> {
    let text = read("Dockerfile");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    joined.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What follows the last FROM.
fn of_the_image() -> Vec<String> {
    let mut all = instructions();
    let last = all.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    all.split_off(last)
}

/// The words after an instruction of the image in exec form.
fn exec_form(instruction: &str) -> Vec<String> {
    let found = of_the_image().into_iter().find(|line| line.starts_with(instruction)).unwrap();
    let list = found.find('[').and_then(|start| found.get(start..)).unwrap();
    serde_json::from_str(list).unwrap()
}

#[test]
fn nothing_in_the_image_needs_a_shell_or_root() {
    let image = of_the_image();
    let count = |start: &str| image.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("RUN "), count("VOLUME "), count("USER 65532:65532")), (0, 1, 1), "{image:#?}");
    assert!(read("Dockerfile").contains("ARG RUN_IMAGE=gcr.io/distroless/static-debian13:nonroot\n"));
    let entry = exec_form("ENTRYPOINT ");
    assert_eq!(entry, ["/usr/local/bin/unhang"]);
    assert!(
        image.iter().any(|line| line.ends_with(" /image/bin/unhang /usr/local/bin/unhang")),
        "{image:#?}"
    );
}

#[test]
fn the_health_check_and_the_command_are_ones_that_the_binary_knows() {
    for instruction in ["HEALTHCHECK ", "CMD "] {
        let words = exec_form(instruction);
        let args: Vec<&str> =
            words.iter().map(String::as_str).filter(|word| *word != "/usr/local/bin/unhang").collect();
        let (fine, said) = asked(env!("CARGO_BIN_EXE_unhang"), &[&args, &["--help"][..]].concat());
        assert!(fine, "{instruction}: {said}");
        // Without --help the answer may be no, but never that it was asked wrongly: 127.0.0.1:1 has no service.
        if instruction == "HEALTHCHECK " {
            let (_, said) =
                asked(env!("CARGO_BIN_EXE_unhang"), &[&args, &["--url", "http://127.0.0.1:1"][..]].concat());
            assert!(said.contains("cannot reach the service"), "{said}");
        }
    }
}

#[test]
fn compiler_and_version_are_those_of_the_manifest_and_what_is_copied_is_there() {
    let manifest = read("Cargo.toml");
    let value = |key: &str| {
        let line = manifest.lines().find_map(|line| line.strip_prefix(&format!("{key} = \""))).unwrap();
        line.trim_end_matches('"').to_owned()
    };
    let all = instructions();
    let compiler = format!("ARG BUILD_IMAGE=docker.io/library/rust:{}.", value("rust-version"));
    assert!(all.iter().any(|line| line.starts_with(&compiler)), "no {compiler}");
    assert!(all.contains(&format!("ARG VERSION={}", value("version"))));
    let ignored = read(".dockerignore");
    for line in all.iter().filter(|line| line.starts_with("COPY ") && !line.contains("--from=")) {
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        for path in words.iter().rev().skip(1) {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(), "{line}: no {path}");
            assert!(!ignored.lines().any(|one| one == *path), "{path} is ignored");
        }
    }
}
