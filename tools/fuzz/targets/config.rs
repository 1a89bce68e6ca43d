//! The configuration file of the service.
#![no_main]

use hcs_config::{Config, SETTINGS, parse};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match parse(text) {
        // What holds can be written down, and then the same holds.
        Ok(said) => {
            let config = Config::new(said, None);
            let written: Vec<String> = SETTINGS
                .iter()
                .map(|setting| format!("{} = {}", setting.name, config.toml(setting)))
                .collect();
            let again = parse(&written.join("\n")).expect("what we wrote");
            assert_eq!(Config::new(again, None), config);
        }
        Err(mistakes) => assert!(!mistakes.is_empty()),
    }
});
