// Whoever prints JSON has the console.
@_exported public import JSON
