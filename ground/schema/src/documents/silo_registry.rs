//! Silo definitions: the registry of a Windows container.
//!
//! Accepted in containers for the sake of completeness; nothing on Linux reads them.

use crate::Guid;
use crate::kind::Binary;
use crate::macros::documents;

documents! {
    /// Silo definition: registry.
    pub struct RegistryNamespace {
        /// Links.
        "symlink" 2.3 symlink: Vec<RegistrySymlink>,
        /// Redirections.
        "redirectionnode" 2.3 redirectionnode: Vec<RegistryRedirectionNode>,
        /// Hive stacks.
        "hivestack" 2.3 hivestack: Vec<RegistryHiveStack>,
    }

    /// Silo definition: link of the registry.
    pub struct RegistrySymlink {
        /// Link key.
        "key" 2.3 key: String,
        /// Target.
        "target" 2.3 target: String,
    }

    /// Silo definition: redirected registry key.
    pub struct RegistryRedirectionNode {
        /// Path inside.
        "containerpath" 2.3 containerpath: String,
        /// Path on host.
        "hostpath" 2.3 hostpath: String,
        /// Hive stack.
        "hivestack" 2.3 hivestack: String,
        /// Access.
        "access_mask" 2.3 access_mask: u32,
        /// Trusted.
        "trustedhive" 2.3 trustedhive: bool,
        /// Exit node.
        "exitnode" 2.3 exitnode: bool,
    }

    /// Silo definition: layers of a hive.
    pub struct RegistryHiveStack {
        /// Hive.
        "hive" 2.3 hive: String,
        /// Layers.
        "layer" 2.3 layer: Vec<RegistryLayer>,
        /// Keys to create.
        "mkkey" 2.3 mkkey: Vec<RegistryMakeKey>,
        /// Keys to delete.
        "delkey" 2.3 delkey: Vec<RegistryDeleteKey>,
    }

    /// Silo definition: layer of a hive.
    pub struct RegistryLayer {
        /// Host hive.
        "hosthive" 2.3 hosthive: String,
        /// Hive file.
        "filepath" 2.3 filepath: String,
        /// Layer GUID.
        "identifier" 2.3 identifier: Guid,
        /// Read only.
        "readonly" 2.3 readonly: bool,
        /// Immutable.
        "immutable" 2.3 immutable: bool,
        /// Inherit trust class.
        "inherittrustclass" 2.3 inherittrustclass: bool,
        /// Trusted.
        "trustedhive" 2.0 trustedhive: bool,
        /// Write through.
        "writethrough" 2.3 writethrough: bool,
        /// In-memory only, never serialised.
        "fileaccesstoken" 2.3 fileaccesstoken: u64,
    }

    /// Silo definition: key to create; may contain further ones.
    pub struct RegistryMakeKey {
        /// Key.
        "name" 2.3 name: String,
        /// Security source.
        "clonesd" 2.3 clonesd: String,
        /// Sub-keys.
        "mkkey" 2.3 mkkey: Vec<RegistryMakeKey>,
        /// Values.
        "mkvalue" 2.3 mkvalue: Vec<RegistryMakeValue>,
        /// Volatile.
        "volatile" 2.3 volatile: bool,
    }

    /// Silo definition: value to create.
    pub struct RegistryMakeValue {
        /// Value name.
        "name" 2.3 name: String,
        /// REG_MULTI_SZ.
        "data_multistring" 2.3 data_multistring: String,
        /// REG_DWORD.
        "data_dword" 2.3 data_dword: u32,
        /// REG_SZ.
        "data_string" 2.3 data_string: String,
        /// REG_BINARY.
        "data_binary" 2.3 data_binary: String as Binary,
    }

    /// Silo definition: key to delete.
    pub struct RegistryDeleteKey {
        /// Key.
        "name" 2.3 name: String,
    }
}
