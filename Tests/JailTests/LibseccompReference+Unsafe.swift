import CSeccomp
import Foundation
import LinuxKernel
import Testing

/// A filter made by libseccomp, to compare with ours.
struct LibseccompReference {
    struct Failure: Error {
        let call: String
        let code: Int32
    }

    let program: SeccompProgram

    init(rules: [SeccompRule], unlisted: SeccompAction) throws {
        // SAFETY: the context is released on every way out and used by this thread only; the
        // array of comparisons lives for the call that reads it.
        guard let context = unsafe seccomp_init(unlisted.rawValue) else {
            throw Failure(call: "seccomp_init", code: 0)
        }
        defer { unsafe seccomp_release(context) }
        try Self.check(
            "seccomp_attr_set",
            unsafe seccomp_attr_set(
                context, SCMP_FLTATR_ACT_BADARCH, SeccompAction.killProcess.rawValue))
        for rule in rules {
            for each in rule.cases + [.init(when: [], rule.otherwise)] {
                // libseccomp refuses to be told its default again.
                guard each.action != unlisted else { continue }
                // SAFETY: the context is this object's, and libseccomp copies the conditions.
                try Self.check(
                    "seccomp_rule_add_array",
                    unsafe seccomp_rule_add_array(
                        context, each.action.rawValue, Int32(rule.number),
                        UInt32(each.conditions.count), each.conditions.map(\.reference)))
            }
        }
        let file = FileManager.default.temporaryDirectory.appending(
            path: "alcove-reference-\(UUID().uuidString)")
        guard FileManager.default.createFile(atPath: file.path, contents: nil) else {
            throw Failure(call: "create", code: 0)
        }
        defer { try? FileManager.default.removeItem(at: file) }
        let handle = try FileHandle(forWritingTo: file)
        // SAFETY: the context is this object's.
        try Self.check(
            "seccomp_export_bpf", unsafe seccomp_export_bpf(context, handle.fileDescriptor))
        try handle.close()
        program = try #require(SeccompProgram(bytes: Array(Data(contentsOf: file))))
    }

    private static func check(_ call: String, _ code: Int32) throws {
        guard code == 0 else { throw Failure(call: call, code: code) }
    }
}

extension SeccompCondition {
    fileprivate var reference: scmp_arg_cmp {
        let index = UInt32(argument)
        return switch test {
        case .equal(let value):
            scmp_arg_cmp(arg: index, op: SCMP_CMP_EQ, datum_a: value, datum_b: 0)
        case .notEqual(let value):
            scmp_arg_cmp(arg: index, op: SCMP_CMP_NE, datum_a: value, datum_b: 0)
        case .maskedEqual(let mask, let value):
            scmp_arg_cmp(arg: index, op: SCMP_CMP_MASKED_EQ, datum_a: mask, datum_b: value)
        }
    }
}
