package kernel

// Tests are not copied: this one would not compile.
var _ = nothing
