internal import Glibc
internal import LinuxKernel
internal import Store

/// A line is words, and each word a letter and fields with colons between:
///
///     p:KIND:ID:NUMBER:SIZE   put a record
///     r:KIND:ID               remove it
///     e:NUMBER:SUBJECT:SIZE   append an event
///     s:NAME:SIZE             set a value
///     u:NAME                  unset it
///     t:NUMBER                trim events below, in a transaction of its own
///     c                       checkpoint
///     m                       say how much memory is in use, in bytes
///     n:COUNT                 commit that often, say how many nanoseconds one took
func change(_ words: [[Substring]]) -> Change {
    var change = Change()
    for word in words {
        switch word[0] {
        case "p":
            change.put(
                RecordKind(rawValue: number(word[1])),
                StoredRecord(
                    id: String(word[2]), number: number(word[3]),
                    bytes: content(number(word[3]), Int(number(word[4])))))
        case "r":
            change.remove(RecordKind(rawValue: number(word[1])), id: String(word[2]))
        case "e":
            change.append(
                StoredEvent(
                    number: number(word[1]), subject: String(word[2]),
                    bytes: content(number(word[1]), Int(number(word[3])))))
        case "s":
            change.set(String(word[1]), to: content(number(word[2]), Int(number(word[2]))))
        case "u":
            change.set(String(word[1]), to: nil)
        default:
            preconditionFailure("a word of the script is unknown: \(word)")
        }
    }
    return change
}

private func number(_ text: Substring) -> Int64 {
    guard let number = Int64(text) else { preconditionFailure("no number: \(text)") }
    return number
}

/// Bytes that a number and a size stand for, as the tests make them too.
private func content(_ number: Int64, _ size: Int) -> [UInt8] {
    Array(repeating: UInt8(truncatingIfNeeded: number &* 31), count: size)
}

func serve(_ arguments: [String]) throws(StoreError) {
    var limits = CheckpointLimits()
    for argument in arguments.dropFirst() {
        let parts = argument.split(separator: "=")
        switch parts[0] {
        case "pages": limits.pages = Int(number(parts[1]))
        case "largest": limits.largestLogPages = Int(number(parts[1]))
        case "background": limits.inBackground = number(parts[1]) != 0
        default: preconditionFailure("an argument is unknown: \(argument)")
        }
    }
    let store = try Store.open(directory: arguments[0], checkpoints: limits)
    say("ready")
    var count = 0
    while let line = readLine() {
        count += 1
        let words = line.split(separator: " ").map { $0.split(separator: ":") }
        do throws(StoreError) {
            say("\(count) \(try answer(to: words, store))\n\(count).")
        } catch {
            say("\(count) failed \(error.kind): \(error)\n\(count).")
        }
    }
}

private func answer(to words: [[Substring]], _ store: Store) throws(StoreError) -> String {
    switch words[0][0] {
    case "t":
        return "done \(try store.trimEvents(below: number(words[0][1])))"
    case "c":
        return "done \(try store.checkpoint())"
    case "m":
        return "done \(ownMemory())"
    case "n":
        return "done \(try measure(Int(number(words[0][1])), store))"
    default:
        try store.commit(change(words))
        return "done"
    }
}

/// Resident bytes that belong to no file.
private func ownMemory() -> Int {
    let fields = (try? Files.read("/proc/self/statm"))?.split(separator: " ").compactMap { Int($0) }
    guard let fields, fields.count > 2 else { preconditionFailure("/proc/self/statm has numbers") }
    return (fields[1] - fields[2]) * 4096
}

/// One put and one event each, over 100 records of 512 bytes.
private func measure(_ count: Int, _ store: Store) throws(StoreError) -> UInt64 {
    var next = (try store.eventNumbers()?.upperBound ?? 0) + 1
    let bytes = content(1, 512)
    let event = content(2, 96)
    let clock = ContinuousClock()
    let start = clock.now
    for _ in 0..<count {
        var change = Change()
        change.put(.sandbox, StoredRecord(id: "sandbox-\(next % 100)", number: next, bytes: bytes))
        change.append(StoredEvent(number: next, subject: "sandbox-\(next % 100)", bytes: event))
        try store.commit(change)
        if next % 500 == 0 { try store.trimEvents(below: next - 1000) }
        next += 1
    }
    let nanoseconds = (clock.now - start).components.attoseconds / 1_000_000_000
    return UInt64(nanoseconds) / UInt64(count)
}

func say(_ text: String) {
    print(text)
    fflush(nil)
}
