//! What the Debian package is made of, as far as it can be judged without building it: every file is there, scripts are sound.

use std::path::Path;

use crate::content;

#[test]
fn every_asset_of_the_package_is_there_or_made_by_the_script() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = std::fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let deb = |key: &str| {
        let value = manifest.get("package")?.get("metadata")?.get("deb")?.get(key)?;
        Some(value.clone())
    };
    let assets = deb("assets").unwrap();
    let assets = assets.as_array().unwrap();
    assert!(assets.len() > 10, "{assets:?}");
    let script = std::fs::read_to_string(root.join("config/debian/build.sh")).unwrap();
    for asset in assets {
        let source = asset.get(0).and_then(toml::Value::as_str).unwrap();
        if let Some(made) = source.strip_prefix("target/debian-files/") {
            let first = made.split('/').next().unwrap();
            assert!(script.contains(&format!("\"$made/{first}\"")), "{source} is not made by the script");
        } else if source != "target/release/unhang" {
            let plain = source.split('*').next().unwrap();
            assert!(root.join(plain).exists(), "{source} is not there");
        }
    }
}

#[test]
fn the_scripts_are_sound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for script in ["postinst", "prerm", "postrm"] {
        content("sh", &["-n", &root.join("config/debian").join(script).display().to_string()]);
    }
    for script in ["config/debian/build.sh", "config/compose/processes.sh", "tests/containers.sh"] {
        content("bash", &["-n", &root.join(script).display().to_string()]);
    }
}
