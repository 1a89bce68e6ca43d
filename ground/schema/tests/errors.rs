//! Bad documents: where the first mistake is, and of what kind.

use hcs_schema::DocumentErrorKind::{self, *};
use hcs_schema::*;

fn error<T: Document>(text: &str) -> DocumentError {
    let Err(error) = read::<T>(text) else { panic!("accepted: {text}") };
    let strict = read_strict::<T>(text).err();
    // Strict reading may stumble earlier, over an unknown member, but over nothing else.
    assert!(strict.is_some_and(|strict| strict == error || strict.kind == Unknown), "{text}");
    error
}

/// A way to read a type, an expected error, and the texts that must give it.
type Line = (fn(&str) -> DocumentError, &'static str, DocumentErrorKind, &'static [&'static str]);

const TABLE: &[Line] = &[
    // Not JSON.
    (
        error::<ComputeSystem>,
        "$",
        Syntax,
        &[
            "",
            "  \n",
            "{",
            "{}}",
            "{} {}",
            "{'Owner':'x'}",
            "{\"Owner\":\"x\",}",
            "{\"Owner\" \"x\"}",
            "{Owner:1}",
            "\u{feff}{}",
            "{\"Owner\":\"\\ud800\"}",
            "{\"Owner\":\"a\nb\"}",
            "{\"Owner\":01}",
            "{\"Owner\":1e999}",
            "{\"Owner\":NaN}",
            "// nothing\n{}",
            "null null",
        ],
    ),
    // The document itself.
    (error::<ComputeSystem>, "$", WrongType, &["null", "[]", "\"x\"", "1", "true", "[{}]"]),
    // Strings.
    (
        error::<ComputeSystem>,
        "$.Owner",
        WrongType,
        &[r#"{"Owner":1}"#, r#"{"Owner":true}"#, r#"{"Owner":["x"]}"#, r#"{"Owner":{}}"#],
    ),
    // Booleans.
    (
        error::<ComputeSystem>,
        "$.ShouldTerminateOnLastHandleClosed",
        WrongType,
        &[r#"{"ShouldTerminateOnLastHandleClosed":"true"}"#, r#"{"ShouldTerminateOnLastHandleClosed":1}"#],
    ),
    // Integers.
    (
        error::<ComputeSystem>,
        "$.VirtualMachine.ComputeTopology.Memory.SizeInMB",
        WrongType,
        &[
            r#"{"VirtualMachine":{"ComputeTopology":{"Memory":{"SizeInMB":"12"}}}}"#,
            r#"{"VirtualMachine":{"ComputeTopology":{"Memory":{"SizeInMB":1.5}}}}"#,
            r#"{"VirtualMachine":{"ComputeTopology":{"Memory":{"SizeInMB":1.0}}}}"#,
            r#"{"VirtualMachine":{"ComputeTopology":{"Memory":{"SizeInMB":1e3}}}}"#,
            r#"{"VirtualMachine":{"ComputeTopology":{"Memory":{"SizeInMB":-0}}}}"#,
            r#"{"VirtualMachine":{"ComputeTopology":{"Memory":{"SizeInMB":{}}}}}"#,
        ],
    ),
    (
        error::<ComputeSystem>,
        "$.VirtualMachine.ComputeTopology.Memory.SizeInMB",
        OutOfRange,
        &[
            r#"{"VirtualMachine":{"ComputeTopology":{"Memory":{"SizeInMB":-1}}}}"#,
            r#"{"VirtualMachine":{"ComputeTopology":{"Memory":{"SizeInMB":18446744073709551616}}}}"#,
            r#"{"VirtualMachine":{"ComputeTopology":{"Memory":{"SizeInMB":1e30}}}}"#,
        ],
    ),
    (
        error::<ContainerProcessor>,
        "$.Weight",
        OutOfRange,
        &[r#"{"Weight":9223372036854775808}"#, r#"{"Weight":-9223372036854775809}"#],
    ),
    (error::<ContainerProcessor>, "$.Count", OutOfRange, &[r#"{"Count":4294967296}"#, r#"{"Count":-1}"#]),
    (error::<ErrorEvent>, "$.EventId", OutOfRange, &[r#"{"EventId":65536}"#, r#"{"EventId":-1}"#]),
    (error::<MappedVirtualDisk>, "$.Lun", OutOfRange, &[r#"{"Lun":256}"#]),
    (error::<ResultError>, "$.Error", OutOfRange, &[r#"{"Error":2147483648}"#, r#"{"Error":-2147483649}"#]),
    // Enumerations.
    (
        error::<ModifySettingRequest>,
        "$.RequestType",
        NotAllowed,
        &[r#"{"RequestType":"add"}"#, r#"{"RequestType":""}"#, r#"{"RequestType":"PreAdd"}"#],
    ),
    (error::<ModifySettingRequest>, "$.RequestType", WrongType, &[r#"{"RequestType":0}"#]),
    (
        error::<SystemPropertyQuery>,
        "$.PropertyTypes[1]",
        NotAllowed,
        &[r#"{"PropertyTypes":["Memory","Statistic"]}"#],
    ),
    (
        error::<ProcessorCapabilitiesInfo>,
        "$.ProcessorFeatures[0]",
        NotAllowed,
        &[r#"{"ProcessorFeatures":["sse3"]}"#],
    ),
    // Forms of strings.
    (
        error::<Layer>,
        "$.Id",
        Malformed,
        &[
            r#"{"Id":""}"#,
            r#"{"Id":"5f3b3c1e-0f3a-5d1f-9a6b-0b3f5f6b7a0"}"#,
            r#"{"Id":"{5f3b3c1e-0f3a-5d1f-9a6b-0b3f5f6b7a01"}"#,
            r#"{"Id":"5f3b3c1e0f3a5d1f9a6b0b3f5f6b7a01"}"#,
        ],
    ),
    (error::<Layer>, "$.Id", WrongType, &[r#"{"Id":7}"#]),
    (
        error::<NetworkAdapter>,
        "$.MacAddress",
        Malformed,
        &[
            r#"{"MacAddress":"00155D010203"}"#,
            r#"{"MacAddress":"00-15-5D-01-02"}"#,
            r#"{"MacAddress":"00-15-5D-01-02-0G"}"#,
        ],
    ),
    (
        error::<Statistics>,
        "$.Timestamp",
        Malformed,
        &[
            r#"{"Timestamp":"yesterday"}"#,
            r#"{"Timestamp":"2026-01-02 03:04:05Z"}"#,
            r#"{"Timestamp":"2026-01-02T03:04:05"}"#,
        ],
    ),
    (error::<ConsoleImage>, "$.Image", Malformed, &[r#"{"Image":"3q2+7w"}"#, r#"{"Image":"*"}"#]),
    // Arrays.
    (
        error::<ProcessParameters>,
        "$.CommandArgs",
        WrongType,
        &[r#"{"CommandArgs":"ls -l"}"#, r#"{"CommandArgs":{"0":"ls"}}"#],
    ),
    (
        error::<ProcessParameters>,
        "$.CommandArgs[1]",
        WrongType,
        &[r#"{"CommandArgs":["ls",1]}"#, r#"{"CommandArgs":["ls",null]}"#],
    ),
    (
        error::<ProcessParameters>,
        "$.ConsoleSize",
        Malformed,
        &[r#"{"ConsoleSize":[]}"#, r#"{"ConsoleSize":[24]}"#, r#"{"ConsoleSize":[24,80,1]}"#],
    ),
    (error::<ProcessParameters>, "$.ConsoleSize[1]", OutOfRange, &[r#"{"ConsoleSize":[24,65536]}"#]),
    (error::<ProcessParameters>, "$.ConsoleSize[0]", WrongType, &[r#"{"ConsoleSize":["24",80]}"#]),
    // Objects and maps.
    (error::<ComputeSystem>, "$.Container", WrongType, &[r#"{"Container":[]}"#, r#"{"Container":"{}"}"#]),
    (
        error::<ComputeSystem>,
        "$.VirtualMachine.Devices.Scsi",
        WrongType,
        &[r#"{"VirtualMachine":{"Devices":{"Scsi":[]}}}"#],
    ),
    (
        error::<ComputeSystem>,
        r#"$.VirtualMachine.Devices.Scsi["df6d0690-79e5"]"#,
        WrongType,
        &[
            r#"{"VirtualMachine":{"Devices":{"Scsi":{"df6d0690-79e5":null}}}}"#,
            r#"{"VirtualMachine":{"Devices":{"Scsi":{"df6d0690-79e5":7}}}}"#,
        ],
    ),
    (
        error::<ComputeSystem>,
        "$.VirtualMachine.Devices.Scsi.boot.Attachments",
        WrongType,
        &[r#"{"VirtualMachine":{"Devices":{"Scsi":{"boot":{"Attachments":"0"}}}}}"#],
    ),
    (
        error::<ProcessParameters>,
        "$.Environment.A",
        WrongType,
        &[r#"{"Environment":{"A":1}}"#, r#"{"Environment":{"A":null}}"#],
    ),
    (
        error::<Scsi>,
        r#"$.Attachments["0"].ReadOnly"#,
        WrongType,
        &[r#"{"Attachments":{"0":{"ReadOnly":"no"}}}"#],
    ),
    // Keys.
    (error::<Scsi>, "$.Attachments.first", Malformed, &[r#"{"Attachments":{"first":{}}}"#]),
    (error::<Scsi>, r#"$.Attachments["-1"]"#, Malformed, &[r#"{"Attachments":{"-1":{}}}"#]),
    (error::<Scsi>, r#"$.Attachments["00"]"#, Malformed, &[r#"{"Attachments":{"00":{}}}"#]),
    (error::<Scsi>, r#"$.Attachments[""]"#, Malformed, &[r#"{"Attachments":{"":{}}}"#]),
    (error::<Scsi>, r#"$.Attachments["4294967296"]"#, OutOfRange, &[r#"{"Attachments":{"4294967296":{}}}"#]),
    (error::<VirtualPMemController>, r#"$.Devices["256"]"#, OutOfRange, &[r#"{"Devices":{"256":{}}}"#]),
    (
        error::<VirtualPMemDevice>,
        r#"$.Mappings["99999999999999999999999999999999999999999999"]"#,
        OutOfRange,
        &[r#"{"Mappings":{"99999999999999999999999999999999999999999999":{}}}"#],
    ),
    (error::<HvSocketSystemConfig>, "$.ServiceTable.ssh", Malformed, &[r#"{"ServiceTable":{"ssh":{}}}"#]),
    (
        error::<HvSocketSystemConfig>,
        r#"$.ServiceTable["{00000001-FACB-11E6-BD58-64006A7986D3}"]"#,
        Duplicate,
        &[r#"{"ServiceTable":{"00000001-facb-11e6-bd58-64006a7986d3":{},
            "{00000001-FACB-11E6-BD58-64006A7986D3}":{}}}"#],
    ),
    // Missing members.
    (
        error::<ComputeSystem>,
        "$.SchemaVersion.Major",
        Missing,
        &[
            r#"{"SchemaVersion":{}}"#,
            r#"{"SchemaVersion":{"Minor":1}}"#,
            r#"{"SchemaVersion":{"Major":null,"Minor":1}}"#,
        ],
    ),
    (error::<ProcessModifyRequest>, "$.ConsoleSize.Width", Missing, &[r#"{"ConsoleSize":{"Height":1}}"#]),
    (error::<ProcessModifyRequest>, "$.ConsoleSize.Height", Missing, &[r#"{"ConsoleSize":{"Width":1}}"#]),
    // Duplicates, wherever they are.
    (
        error::<ComputeSystem>,
        "$.Owner",
        Duplicate,
        &[r#"{"Owner":"a","Owner":"a"}"#, r#"{"Owner":null,"Container":{},"\u004fwner":"a"}"#],
    ),
    (
        error::<ComputeSystem>,
        "$.Container.Memory",
        Duplicate,
        &[r#"{"Container":{"Memory":{},"Memory":{}}}"#],
    ),
    (error::<ModifySettingRequest>, "$.Settings[1].a", Duplicate, &[r#"{"Settings":[1,{"a":1,"a":2}]}"#]),
    (error::<ComputeSystem>, "$.Unheard.of", Duplicate, &[r#"{"Unheard":{"of":1,"of":2}}"#]),
    (error::<Scsi>, r#"$.Attachments["0"]"#, Duplicate, &[r#"{"Attachments":{"0":{},"0":{}}}"#]),
    // Signals are names or numbers.
    (
        error::<SignalProcessOptions>,
        "$.Signal",
        NotAllowed,
        &[r#"{"Signal":"SIGTERM"}"#, r#"{"Signal":"15"}"#],
    ),
    (
        error::<SignalProcessOptions>,
        "$.Signal",
        OutOfRange,
        &[r#"{"Signal":-1}"#, r#"{"Signal":4294967296}"#],
    ),
    (
        error::<SignalProcessOptions>,
        "$.Signal",
        WrongType,
        &[r#"{"Signal":1.5}"#, r#"{"Signal":[15]}"#, r#"{"Signal":true}"#],
    ),
];

#[test]
fn errors_are_precise() {
    let mut count = 0;
    for (read, path, kind, texts) in TABLE {
        for text in *texts {
            let error = read(text);
            assert_eq!((error.path.as_str(), error.kind), (*path, *kind), "{error} in {text}");
            count += 1;
        }
    }
    assert!(count >= 60, "{count}");
}

#[test]
fn errors_are_one_sentence() {
    let table = [
        (
            error::<ContainerMemory>(r#"{"SizeInMB":"12"}"#),
            r#"$.SizeInMB: found "12", expected an integer from 0 to 18446744073709551615"#,
        ),
        (
            error::<ContainerMemory>(r#"{"SizeInMB":18446744073709551616}"#),
            "$.SizeInMB: found 18446744073709551616, expected an integer from 0 to 18446744073709551615",
        ),
        (
            error::<ModifySettingRequest>(r#"{"RequestType":"add"}"#),
            r#"$.RequestType: found "add", expected one of 'Add', 'Remove', 'Update'"#,
        ),
        (
            error::<ProcessorCapabilitiesInfo>(r#"{"ProcessorFeatures":["Nested"]}"#),
            "$.ProcessorFeatures[0]: found \"Nested\", expected one of the 128 names of ProcessorFeature, \
             perhaps 'NestedVirt', 'Rdseed', 'Sse3', 'Ssse3'",
        ),
        (
            error::<ComputeSystem>("{\n\"Owner\":}"),
            "$: found expected value at line 2 column 9, expected a JSON document",
        ),
        (
            error::<ComputeSystem>(r#"{"SchemaVersion":{}}"#),
            "$.SchemaVersion.Major: found nothing, expected an integer from 0 to 4294967295",
        ),
        (
            error::<ComputeSystem>(r#"{"Owner":1,"Owner":2}"#),
            "$.Owner: found the member twice, expected it once",
        ),
        (
            error::<Scsi>(r#"{"Attachments":{"x":{}}}"#),
            "$.Attachments.x: found the key \"x\", expected a decimal number from 0 to 4294967295",
        ),
        (
            error::<SignalProcessOptions>(r#"{"Signal":[]}"#),
            "$.Signal: found [], expected one of 'CtrlC', 'CtrlBreak', 'CtrlClose', 'CtrlLogOff', \
             'CtrlShutdown' or an integer from 0 to 4294967295",
        ),
        (
            error::<ProcessParameters>(r#"{"ConsoleSize":[24]}"#),
            "$.ConsoleSize: found [24], expected an array of 2 elements, each an integer from 0 to 65535",
        ),
        (
            error::<ComputeSystem>(r#"{"Container":7}"#),
            "$.Container: found 7, expected an object (Container)",
        ),
    ];
    for (error, sentence) in table {
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn what_was_found_is_cut_short() {
    let long = format!(r#"{{"ReadOnly":{{"a":["{}"]}}}}"#, "é\\n".repeat(100_000));
    let found = error::<Attachment>(&long).found;
    assert!(found.starts_with(r#"{"a":["é\né\n"#) && found.ends_with('…'), "{found}");
    assert_eq!(found.chars().count(), 61);
    let long = format!(r#"{{"ReadOnly":[{}1]}}"#, "1,".repeat(100_000));
    assert_eq!(error::<Attachment>(&long).found.chars().count(), 61);
}

#[test]
fn nesting_is_limited_everywhere() {
    let nested = |levels: usize| format!(r#"{{"Settings":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(read::<ModifySettingRequest>(&nested(63)).is_ok());
    let error = error::<ModifySettingRequest>(&nested(64));
    assert_eq!(error.kind, TooDeep);
    assert_eq!(error.path, format!("$.Settings{}", "[0]".repeat(63)));
    assert_eq!(error.found, "too many nested levels");
    for levels in [127, 128, 200, 100_000] {
        assert_eq!(self::error::<ModifySettingRequest>(&nested(levels)).kind, TooDeep);
    }
    let types = format!("{}{}", r#"{"objdir":["#.repeat(40), "]}".repeat(40));
    assert_eq!(self::error::<ObjectDirectory>(&types).kind, TooDeep);
    let types = format!("{}{{}}{}", r#"{"objdir":["#.repeat(31), "]}".repeat(31));
    assert!(read_strict::<ObjectDirectory>(&types).is_ok());
}

#[test]
fn strict_reading_refuses_unknown_members_only() {
    let unknown = |text| read_strict::<ComputeSystem>(text).unwrap_err();
    let error = unknown(r#"{"Container":{"Foo":null}}"#);
    assert_eq!((error.kind, error.path.as_str()), (Unknown, "$.Container.Foo"));
    assert_eq!(error.expected, "a member of Container");
    // The first mistake in the document counts, unknown or not.
    assert_eq!(unknown(r#"{"Foo":1,"Owner":1}"#).kind, Unknown);
    assert_eq!(unknown(r#"{"Owner":1,"Foo":1}"#).kind, WrongType);
    assert!(read_strict::<ComputeSystem>(r#"{"HostedSystem":{"Foo":1}}"#).is_ok());
}

#[test]
fn all_mistakes_of_a_document_are_told_in_its_order() {
    let text = r#"{
        "Ownr": "a",
        "SchemaVersion": {"Minor": -1},
        "Container": {"MappedDirectories": [{"ReadOnly": 1}, {"ReadOnly": true, "HostPth": "/"}], "Memory": 5}
    }"#;
    let found = hcs_schema::mistakes::<ComputeSystem>(text);
    let paths: Vec<&str> = found.iter().map(|mistake| mistake.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "$.Ownr",
            "$.SchemaVersion.Minor",
            "$.SchemaVersion.Major",
            "$.Container.MappedDirectories[0].ReadOnly",
            "$.Container.MappedDirectories[1].HostPth",
            "$.Container.Memory",
        ]
    );
    assert!(found[0].expected.contains("'Owner'"), "{}", found[0]);
    assert_eq!(hcs_schema::mistakes::<ComputeSystem>("{").len(), 1);
    assert_eq!(hcs_schema::mistakes::<ComputeSystem>("[]").len(), 1);
    assert_eq!(hcs_schema::mistakes::<ComputeSystem>("{}"), []);
}

#[test]
fn a_long_name_above_many_members_is_refused() {
    use std::fmt::Write;
    let mut attachments = String::new();
    for number in 0..20_000 {
        write!(attachments, r#"{}"{number}":{{"Type":"Iso"}}"#, if number == 0 { "" } else { "," }).unwrap();
    }
    let document = |name: &str| {
        let scsi = format!(r#""Scsi":{{"{name}":{{"Attachments":{{{attachments}}}}}}}"#);
        format!(r#"{{"VirtualMachine":{{"Devices":{{{scsi}}}}}}}"#)
    };
    assert!(read::<ComputeSystem>(&document("a")).is_ok());
    // Once is enough: where nothing is optimised this takes seconds.
    let refused = read::<ComputeSystem>(&document(&"a".repeat(1 << 20))).err();
    assert_eq!(refused.map(|error| error.kind), Some(TooDeep));
}
