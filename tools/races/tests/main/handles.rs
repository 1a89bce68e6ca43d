//! The handles of a program.

use std::sync::Arc;

use hcs_races::handles::Handles;
use loom::thread;

#[test]
fn of_two_threads_that_close_a_handle_one_gets_the_object() {
    super::in_every_order(|| {
        let handles = Arc::new(Handles::new());
        let handle = handles.reserve();
        handles.insert(handle, 'x');
        let others = handles.clone();
        let other = thread::spawn(move || others.remove(handle, |object| Some(*object)));
        let own = handles.remove(handle, |object| Some(*object));
        let other = other.join().unwrap();
        assert!(own.is_some() != other.is_some(), "{own:?} {other:?}");
        assert_eq!(own.or(other), Some('x'));
    });
}

#[test]
fn a_handle_is_used_whole_or_not_at_all() {
    super::in_every_order(|| {
        let handles = Arc::new(Handles::new());
        let handle = handles.reserve();
        handles.insert(handle, 'x');
        let others = handles.clone();
        let user = thread::spawn(move || others.get(handle, |object| Some(*object)));
        assert_eq!(handles.remove(handle, |object| Some(*object)), Some('x'));
        assert!(user.join().unwrap().is_none_or(|object| object == 'x'));
        assert_eq!(handles.get(handle, |object| Some(*object)), None);
    });
}

#[test]
fn no_number_is_given_out_twice() {
    super::in_every_order(|| {
        let handles = Arc::new(Handles::<()>::new());
        let others = handles.clone();
        let other = thread::spawn(move || others.reserve());
        assert_ne!(handles.reserve(), other.join().unwrap());
    });
}
