//! Registry edits of Windows guests; accepted, and without effect on Linux ones.
//!
//! Accepted everywhere; without effect on a Linux guest.

use crate::kind::Base64;
use crate::macros::{choices, documents};

documents! {
    /// Edits of a registry.
    pub struct RegistryChanges {
        /// Values to write.
        "AddValues" 2.0 add_values: Vec<RegistryValue>,
        /// Keys to delete.
        "DeleteKeys" 2.0 delete_keys: Vec<RegistryKey>,
    }

    /// A registry key.
    pub struct RegistryKey {
        /// Hive.
        "Hive" 2.0 hive: RegistryHive,
        /// Key path below the hive.
        "Name" 2.0 name: String,
        /// Create as volatile.
        "Volatile" 2.0 volatile: bool,
    }

    /// Exactly one …Value member is set.
    pub struct RegistryValue {
        /// Parent key.
        "Key" 2.0 key: RegistryKey,
        /// Value name.
        "Name" 2.0 name: String,
        /// Value type.
        "Type" 2.0 type_: RegistryValueType,
        /// Text forms.
        "StringValue" 2.0 string_value: String,
        /// Binary and CustomType data.
        "BinaryValue" 2.0 binary_value: String as Base64,
        /// 32-bit.
        "DWordValue" 2.0 dword_value: u32,
        /// 64-bit.
        "QWordValue" 2.0 qword_value: u64,
        /// Raw registry type number when Type is CustomType (data in BinaryValue).
        "CustomType" 2.0 custom_type: u32,
    }

    /// Settings of Container/RegistryFlushState.
    pub struct RegistryFlushState {
        /// False = flushes are dropped and registry changes are lost.
        "Enabled" 2.1 enabled: bool,
    }
}

choices! {
    /// Hive of a registry.
    pub enum RegistryHive {
        2.0: System, Software, Security, Sam;
    }

    /// Type of a registry value.
    pub enum RegistryValueType {
        2.0: None, String, ExpandedString, MultiString, Binary, DWord, QWord, CustomType;
    }
}
