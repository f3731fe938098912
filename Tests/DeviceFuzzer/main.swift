import Glibc
import LinuxKernel

// Drives devices with hostile input. `scripts/fuzz` is how it is used.

/// What the command line asks for.
enum FuzzCommand {
    static let usage = """
        usage: DeviceFuzzer list
               DeviceFuzzer mutate DEVICE INPUTS SEED CORPUS CURRENT
               DeviceFuzzer replay DEVICE CORPUS
               DeviceFuzzer -ARGUMENTS OF LIBFUZZER…, with ALCOVE_FUZZ_DEVICE=DEVICE
        A corpus has an input on each line, in hexadecimal digits. CURRENT is a file for the input
        that is being tried.
        """

    static func perform(_ words: [String]) throws -> Int32 {
        switch words.first {
        case "list" where words.count == 1:
            for (name, _) in FuzzSubjects.all { print(name) }
            return 0
        case "mutate" where words.count == 6:
            guard let make = FuzzSubjects.named(words[1]), let inputs = Int(words[2]),
                let seed = UInt64(words[3])
            else { break }
            let campaign = try FuzzCampaign(make, folder: ".")
            let current = try Files.open(words[5], [.readWrite, .create])
            let seen = try campaign.mutate(
                try corpus(words[4]), inputs: inputs, seed: seed, current: current)
            print("\(words[1]): \(campaign.count) inputs, \(seen) different outcomes, seed \(seed)")
            print("\(words[1]): most counted by one input: \(campaign.reached)")
            return 0
        case "replay" where words.count == 3:
            guard let make = FuzzSubjects.named(words[1]) else { break }
            let campaign = try FuzzCampaign(make, folder: ".")
            for bytes in try corpus(words[2]) { try campaign.perform(bytes) }
            print("\(words[1]): \(campaign.count) inputs")
            print("\(words[1]): most counted by one input: \(campaign.reached)")
            return 0
        // It starts this program again with arguments of its own.
        case let word? where word.hasPrefix("-"):
            if let status = runCoverageGuided(words) { return status }
            print("this build has no libFuzzer: `scripts/fuzz --coverage` makes one that has")
            return 1
        default: break
        }
        print(usage)
        return 64
    }

    private static func corpus(_ path: String) throws -> [[UInt8]] {
        try Files.read(path, limit: 16 << 20).split(separator: "\n").map { line in
            let digits = Array(line.utf8)
            return stride(from: 0, to: digits.count - 1, by: 2).map { index in
                digit(digits[index]) << 4 | digit(digits[index + 1])
            }
        }
    }

    private static func digit(_ character: UInt8) -> UInt8 {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        default: 0
        }
    }
}

ThisProcess.ignoreBrokenPipes()
do {
    exit(try FuzzCommand.perform(Array(CommandLine.arguments.dropFirst())))
} catch {
    print("\(error)")
    exit(1)
}
