internal import Glibc
internal import Store

// StoreTestWriter DIRECTORY [name=number ...]: each line of the input is a commit, each line of the
// output what became of it. See `Script.swift` for the words of a line.
do throws(StoreError) {
    try serve(Array(CommandLine.arguments.dropFirst()))
} catch {
    say("failed \(error.kind): \(error)")
    exit(1)
}
