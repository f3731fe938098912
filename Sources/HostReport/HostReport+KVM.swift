internal import KVM

extension HostReport {
    static func kvm(_ facts: HostFacts) -> [HostCheck] {
        [
            device(facts.kvm), version(facts.kvm), speed(facts.guestSpeed),
            isolation(facts.guestSpeed),
        ]
    }

    private static func device(_ device: HostFacts.Device) -> HostCheck {
        let subject = HostSubject.kvmDevice
        return switch device {
        case .absent: subject.check(.missing, "absent")
        case .notPermitted: subject.check(.limited, "this user may not open it")
        case .broken(let reason): subject.check(.limited, reason)
        case .open: subject.check(.good, "opens")
        }
    }

    private static func version(_ device: HostFacts.Device) -> HostCheck {
        guard case .open(let version) = device else {
            return HostSubject.kvmVersion.check(.limited, "unknown")
        }
        return HostSubject.kvmVersion.check(
            version == System.knownVersion ? .good : .limited, "\(version)")
    }

    private static func speed(_ speed: GuestSpeed) -> HostCheck {
        let subject = HostSubject.guestSpeed
        switch speed {
        case .absent: return subject.check(.limited, "no KVM to measure")
        case .notPermitted: return subject.check(.limited, "not measured: no permission")
        case .notMeasured: return subject.check(.limited, "not measured")
        case .unusable(let error): return subject.check(.limited, "\(error)")
        case .measured(let measurement):
            let time = Decimals.text(measurement.nanosecondsPerInstruction)
            return subject.check(
                speed.isFast ? .good : .limited,
                "\(time) ns an instruction, \(speed.isFast ? "hardware" : "emulated")")
        }
    }

    private static func isolation(_ speed: GuestSpeed) -> HostCheck {
        let subject = HostSubject.isolation
        if speed.isFast { return subject.check(.good, "microvm") }
        let reason =
            switch speed {
            case .absent: "there is no KVM"
            case .notPermitted: "KVM may not be used"
            case .unusable: "KVM runs no guest"
            case .notMeasured: "KVM's speed was not measured"
            case .measured: "KVM emulates guest kernel mode"
            }
        return subject.check(.limited, "process, since \(reason)")
    }
}

/// Numbers of a report.
enum Decimals {
    /// With two decimals below 100, and without above.
    static func text(_ value: Double) -> String {
        guard value.isFinite, value.magnitude < 1e15 else { return "\(value)" }
        if value.magnitude >= 100 { return "\(Int(value.rounded()))" }
        let hundredths = Int((value.magnitude * 100).rounded())
        let rest = hundredths % 100
        return (value < 0 ? "-" : "") + "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}
