//! The set of processors a client wants for a CPU group, checked.
//!
//! [`super::cpu_groups`] calls it before anything is recorded. What must hold: a set that passes is not
//! empty, names each processor once, in ascending order, and only processors this host offers.

use super::cpu_group_error::CpuGroupError;
use super::cpu_list;

/// The wanted processors in ascending order. `count` is what the client says the length of the list is.
pub fn checked(count: u32, processors: &[u32], usable: &[u32]) -> Result<Vec<u32>, CpuGroupError> {
    if usize::try_from(count) != Ok(processors.len()) {
        return Err(CpuGroupError::CountMismatch { count, listed: processors.len() });
    }
    if processors.is_empty() {
        return Err(CpuGroupError::NoProcessors);
    }
    let mut sorted = processors.to_vec();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(CpuGroupError::DuplicateProcessor { processor: pair[0] });
    }
    match sorted.iter().find(|processor| !usable.contains(processor)) {
        Some(&processor) => {
            Err(CpuGroupError::UnusableProcessor { processor, usable: cpu_list::format(usable) })
        }
        None => Ok(sorted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_set_is_sorted() {
        assert_eq!(checked(3, &[7, 0, 2], &[0, 1, 2, 7]).unwrap(), [0, 2, 7]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let refused = |count, processors: &[u32]| checked(count, processors, &[0, 1, 2, 3]).unwrap_err();
        assert!(matches!(refused(1, &[0, 1]), CpuGroupError::CountMismatch { count: 1, listed: 2 }));
        assert!(matches!(refused(0, &[]), CpuGroupError::NoProcessors));
        assert!(matches!(refused(3, &[2, 1, 2]), CpuGroupError::DuplicateProcessor { processor: 2 }));
        let error = refused(2, &[0, 4]);
        assert!(error.to_string().contains("processor 4") && error.to_string().contains("0-3"), "{error}");
    }
}
