// Package archive packs files of the host for the root of a guest (monitor.Config.Files), as a cpio archive in the "new
// ASCII" format, newc, which the Linux kernel also takes its initial root from
// (Documentation/driver-api/early-userspace/buffer-format.rst).
//
//	archive = { header name NUL pad4 data pad4 } , ended by the name "TRAILER!!!"
//	header  = magic "070701", then 13 numbers of 8 hexadecimal digits
//
// Modes, modification times and symbolic links are kept; owners are not: everything is root's. Hard links become files of
// their own. Directories come after what is in them (as with `find -depth | cpio -o`), so that neither their modes nor
// their times suffer from being filled.
package archive
