internal import Glibc
internal import Store

// StoreTestWriter DIRECTORY [name=number ...]: each line of the input is a commit. A line of the
// output with its number says what became of it, and one with the number and a point that this was
// all. See `Script.swift` for the words of a line.
do throws(StoreError) {
    try serve(Array(CommandLine.arguments.dropFirst()))
} catch {
    say("failed \(error.kind): \(error)")
    exit(1)
}
