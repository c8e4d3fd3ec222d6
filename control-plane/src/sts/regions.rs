//! Regions whose STS is asked, and their hosts: the only hosts that a relay's proof can lead to.
use std::fmt;

/// Regions of `aws`, from botocore 1.44.5's `partitions.json`.
const AWS: [&str; 36] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "me-west-1",
    "mx-central-1",
    "sa-east-1",
    "sa-west-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];
const AWS_CN: [&str; 2] = ["cn-north-1", "cn-northwest-1"];
const AWS_US_GOV: [&str; 2] = ["us-gov-east-1", "us-gov-west-1"];

/// A part of AWS with accounts and an STS of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Partition {
    /// `aws`.
    Aws,
    /// `aws-cn`, China.
    AwsCn,
    /// `aws-us-gov`, GovCloud.
    AwsUsGov,
}

impl Partition {
    const ALL: [Self; 3] = [Self::Aws, Self::AwsCn, Self::AwsUsGov];

    /// The partition of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|partition| partition.name() == name)
    }

    /// Its name in ARNs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
        }
    }

    fn regions(self) -> &'static [&'static str] {
        match self {
            Self::Aws => &AWS,
            Self::AwsCn => &AWS_CN,
            Self::AwsUsGov => &AWS_US_GOV,
        }
    }

    fn domain(self) -> &'static str {
        match self {
            Self::Aws | Self::AwsUsGov => "amazonaws.com",
            Self::AwsCn => "amazonaws.com.cn",
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A region that is known here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Region {
    name: &'static str,
    partition: Partition,
}

impl Region {
    /// The region of exactly this name.
    pub fn named(name: &str) -> Option<Self> {
        Partition::ALL.into_iter().find_map(|partition| {
            let name = partition.regions().iter().copied().find(|known| *known == name)?;
            Some(Self { name, partition })
        })
    }

    /// Its name, e.g. `ap-northeast-1`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The partition it is in.
    pub fn partition(self) -> Partition {
        self.partition
    }

    /// Host of its STS.
    pub fn sts_host(self) -> String {
        format!("sts.{}.{}", self.name, self.partition.domain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_has_a_host_under_a_domain_of_amazon() {
        let mut hosts = Vec::new();
        for partition in Partition::ALL {
            assert_eq!(Partition::named(partition.name()), Some(partition));
            for name in partition.regions() {
                let region = Region::named(name).unwrap();
                assert_eq!((region.name(), region.partition()), (*name, partition));
                assert!(
                    name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
                );
                hosts.push(region.sts_host());
            }
        }
        assert_eq!(hosts.len(), 40);
        hosts.sort();
        hosts.dedup();
        assert_eq!(hosts.len(), 40);
        for (name, host) in [
            ("ap-northeast-1", "sts.ap-northeast-1.amazonaws.com"),
            ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ] {
            assert_eq!(Region::named(name).unwrap().sts_host(), host);
        }
    }
}
