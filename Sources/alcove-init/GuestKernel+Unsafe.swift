internal import CInit
internal import CInitProtocol

/// A text for the kernel: it ends in a zero byte, and lasts as long as this process.
@safe
struct KernelText: ExpressibleByStringLiteral {
    fileprivate let start: UnsafePointer<CChar>

    init(stringLiteral text: StaticString) {
        // SAFETY: a static string ends in a zero byte that is not counted, and is always there.
        unsafe start = UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
    }

    @unsafe
    fileprivate init(start: UnsafePointer<CChar>) {
        // SAFETY: kept as given.
        unsafe self.start = start
    }
}

/// Makes a text, in a room that is for one text at a time.
struct TextBuilder {
    enum Room: Int32 {
        case device, place, options, line
    }

    private let room: Room
    private(set) var count = 0

    init(_ room: Room, _ text: StaticString) {
        self.room = room
        append(text)
    }

    mutating func append(_ text: StaticString) {
        for index in 0..<text.utf8CodeUnitCount {
            // SAFETY: within the text, whose bytes are always there.
            append(unsafe text.utf8Start[index])
        }
    }

    mutating func append(_ number: UInt64) {
        if number >= 10 { append(number / 10) }
        append(UInt8(ascii: "0") + UInt8(number % 10))
    }

    mutating func append(_ byte: UInt8) {
        precondition(count < Int(CINIT_TEXT) - 1, "a text for the kernel is too long")
        // SAFETY: within the room, as checked above, and one byte less for the zero.
        unsafe cinit_text_room(room.rawValue)[count] = CChar(bitPattern: byte)
        unsafe cinit_text_room(room.rawValue)[count + 1] = 0
        count += 1
    }

    /// Serves until the next text is made in the room.
    var text: KernelText {
        // SAFETY: the room is always there, and `append` ends the text in zero.
        unsafe KernelText(start: cinit_text_room(room.rawValue))
    }

    /// Writes it to the console, or where there is none to the kernel's log.
    func tell() {
        // SAFETY: the text has so many bytes.
        if unsafe cinit_write(2, text.start, count) < 0 { _ = unsafe cinit_log(text.start, count) }
    }

    /// Makes it the text of /etc/resolv.conf.
    func resolve() {
        // SAFETY: the text has so many bytes.
        _ = unsafe cinit_set_resolver(text.start, count)
    }
}

/// No `OptionSet`, whose literals are arrays, which need a heap.
struct MountFlags {
    let rawValue: UInt
    static let readOnly = MountFlags(rawValue: UInt(CINIT_MOUNT_READ_ONLY))
    static let noSetID = MountFlags(rawValue: UInt(CINIT_MOUNT_NO_SET_ID))
    static let noDevices = MountFlags(rawValue: UInt(CINIT_MOUNT_NO_DEVICES))
    static let noExecution = MountFlags(rawValue: UInt(CINIT_MOUNT_NO_EXECUTION))
    static let again = MountFlags(rawValue: UInt(CINIT_MOUNT_REMOUNT))
    static let bind = MountFlags(rawValue: UInt(CINIT_MOUNT_BIND))
    static let move = MountFlags(rawValue: UInt(CINIT_MOUNT_MOVE))

    static func | (first: MountFlags, second: MountFlags) -> MountFlags {
        MountFlags(rawValue: first.rawValue | second.rawValue)
    }
}

/// Gives 0 or -errno, as all below.
func mount(
    _ type: KernelText, _ source: KernelText, at target: KernelText, _ flags: MountFlags,
    _ options: KernelText
) -> Int32 {
    // SAFETY: such a text is what C wants.
    unsafe cinit_mount(source.start, target.start, type.start, flags.rawValue, options.start)
}

func makeDirectory(_ path: KernelText, mode: UInt32) -> Int32 {
    // SAFETY: such a text is what C wants.
    unsafe cinit_make_directory(path.start, mode)
}

func makeLink(to target: KernelText, at path: KernelText) -> Int32 {
    // SAFETY: such a text is what C wants.
    unsafe cinit_make_link(target.start, path.start)
}

func remove(_ path: KernelText) -> Int32 {
    // SAFETY: such a text is what C wants.
    unsafe cinit_remove(path.start)
}

func enterRoot(_ path: KernelText) -> Int32 {
    // SAFETY: such a text is what C wants.
    unsafe cinit_enter_root(path.start)
}

/// A pipe that does not make its writer wait.
func openInput() throws(KernelError) -> (reader: Int32, writer: Int32) {
    var reader: Int32 = -1
    var writer: Int32 = -1
    // SAFETY: local variables, valid during the call.
    let failed = unsafe cinit_open_input(&reader, &writer)
    guard failed == 0 else { throw KernelError(number: -failed) }
    return (reader, writer)
}

func statistics(threadsBefore: UInt64) -> alcove_guest_statistics {
    var machine = cinit_machine()
    // SAFETY: a local variable, valid during the call.
    unsafe cinit_look_at_machine(&machine)
    return alcove_guest_statistics(
        memory_total_bytes: machine.memory_total_bytes,
        memory_available_bytes: machine.memory_available_bytes,
        cpu_nanoseconds: machine.cpu_nanoseconds,
        processes: machine.threads > threadsBefore ? machine.threads - threadsBefore : 0,
        out_of_memory_kills: cinit_out_of_memory_kills())
}
