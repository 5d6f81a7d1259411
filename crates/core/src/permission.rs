//! What a key may do beyond reading what its organization owns.

use std::fmt;
use std::str::FromStr;

macro_rules! permissions {
    ($($name:ident = $text:literal),+ $(,)?) => {
        /// One permission, by its wire name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Permission { $($name),+ }

        impl Permission {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }

        impl FromStr for Permission {
            type Err = Unknown;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$name),)+
                    unknown => Err(Unknown(unknown.to_owned())),
                }
            }
        }
    };
}

permissions! {
    WriteRegistries = "write:registries",
    DeleteRegistries = "delete:registries",
    WriteSnapshots = "write:snapshots",
    DeleteSnapshots = "delete:snapshots",
    WriteSandboxes = "write:sandboxes",
    DeleteSandboxes = "delete:sandboxes",
    ReadVolumes = "read:volumes",
    WriteVolumes = "write:volumes",
    DeleteVolumes = "delete:volumes",
    WriteRegions = "write:regions",
    DeleteRegions = "delete:regions",
    ReadRunners = "read:runners",
    WriteRunners = "write:runners",
    DeleteRunners = "delete:runners",
    ReadAuditLogs = "read:audit_logs",
    ManageApiKeys = "manage:api_keys",
    ManageSecrets = "manage:secrets",
    ReadLimits = "read:limits",
    ManageSso = "manage:sso",
    ReadBilling = "read:billing",
    ManageBilling = "manage:billing",
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("permissions: {0:?} is not a permission")]
pub struct Unknown(pub String);

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_reads_back_from_its_name() {
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(*permission));
        }
        assert!("read:sandboxes".parse::<Permission>().is_err());
    }
}
