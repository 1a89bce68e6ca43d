//! The command line of a kernel, without the words by which it would not find the devices of a machine of ours. Clients send
//! them because under Hyper-V there is no PCI bus, and the sockets of virtio are in the way of those of Hyper-V.

/// An option that is a list with commas, an item of it, and why that must go.
const IN_THE_WAY: [(&str, &str, &str); 2] = [
    ("pci", "off", "the devices of this machine are at its PCI bus"),
    ("initcall_blacklist", "virtio_vsock_init", "the sockets of this machine are those of virtio"),
];

/// The line for a machine of ours, and what was left out of it and why.
pub fn of_machine(line: &str) -> (String, Vec<String>) {
    let (mut kept, mut reasons) = (String::new(), Vec::new());
    let mut is_of_kernel = true;
    for word in words(line) {
        // What comes behind is for the first process.
        is_of_kernel &= word.trim() != "--";
        match is_of_kernel.then(|| without(word)).flatten() {
            Some((rest, reason)) => {
                kept.push_str(&rest);
                reasons.push(reason);
            }
            None => kept.push_str(word),
        }
    }
    (kept, reasons)
}

/// The word without what is in the way, and why; none if it can stay.
fn without(word: &str) -> Option<(String, String)> {
    let text = word.trim_end();
    let (name, list) = text.split_once('=')?;
    let (_, item, why) = IN_THE_WAY.into_iter().find(|(option, ..)| *option == name)?;
    let rest: Vec<&str> = list.split(',').filter(|other| *other != item).collect();
    if rest.len() == list.split(',').count() {
        return None;
    }
    let reason = format!("{name}={item} was left out: {why}");
    let space = &word[text.len()..];
    Some((if rest.is_empty() { String::new() } else { format!("{name}={}{space}", rest.join(",")) }, reason))
}

/// The words of a line, each with the space behind it. As the kernel has it, quotes keep a word together.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    line.split_inclusive(move |letter: char| {
        is_quoted ^= letter == '"';
        letter.is_ascii_whitespace() && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_by_which_a_kernel_would_find_no_device_are_left_out_and_told() {
        let line = " initcall_blacklist=virtio_vsock_init 8250_core.nr_uarts=0 panic=-1 quiet pci=off nr_cpus=2 -- -e 1 pci=off";
        let (kept, reasons) = of_machine(line);
        assert_eq!(kept, " 8250_core.nr_uarts=0 panic=-1 quiet nr_cpus=2 -- -e 1 pci=off");
        assert_eq!(
            reasons,
            [
                "initcall_blacklist=virtio_vsock_init was left out: the sockets of this machine are those of virtio",
                "pci=off was left out: the devices of this machine are at its PCI bus",
            ]
        );
    }

    #[test]
    fn what_stands_beside_them_stays() {
        for (line, expected) in [
            (
                "pci=nomsi,off,noaer initcall_blacklist=a,virtio_vsock_init",
                "pci=nomsi,noaer initcall_blacklist=a",
            ),
            ("a  pci=off\tb", "a  b"),
            ("pci=off", ""),
        ] {
            assert_eq!(of_machine(line).0, expected);
        }
    }

    #[test]
    fn a_line_without_them_is_untouched() {
        for line in ["", "console=ttyS0, quiet", "pci=nomsi", "xpci=off", "a=\"b pci=off c\" d", "pci"] {
            assert_eq!(of_machine(line), (line.to_owned(), Vec::new()));
        }
    }
}
