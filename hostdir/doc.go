// Package hostdir exports one directory of the host to somebody who is not trusted: the guest behind
// `ukvm run -v host:guest`. It knows nothing of guests, rings or messages; it has handles (Node), attributes, and one method
// for each thing that can be done to a file. It imports the standard library and golang.org/x/sys/unix only.
//
// # Nothing outside can be reached
//
// A Node is a descriptor opened with O_PATH. The only way to a Node is from a directory's Node by one name, which has been
// checked to be a single path component and neither "." nor "..", by openat(2) with O_PATH and O_NOFOLLOW. So
//
//   - there is no way up: nothing asks the kernel for "..", and a name has no '/';
//   - a symbolic link, also one of /proc's, is never followed: its Node is the link itself, and whoever resolves paths does
//     that with Readlink, name by name, on his own side;
//   - renaming and replacing files on the host meanwhile changes what a name means, but never what a Node is: every method
//     works on the descriptor, not on a path that is looked at twice.
//
// What lies below is in: file systems mounted there, and files with a hard link there. A directory that the host moves out
// takes with it the Nodes that were made before.
//
// Contents are read through a second descriptor, opened through /proc/self/fd of the first, only if that one is a regular
// file; the new one is seen to be the same file. FIFOs, sockets and devices of the host can be seen, named and removed, but
// are never opened.
//
// os.Root keeps inside a directory too, in another way: it resolves whole paths, follows links that stay inside, opens what
// it finds, FIFOs and devices as well, and starts from a path in every call. Here the path is gone once the Node is there,
// as the guest's inodes must survive a rename, and inodes without a name (O_TMPFILE, removed files) must work.
//
// # Owners and modes
//
// The process that runs this needs no privileges, so it cannot give files away. Files of its effective user are shown as those
// of user 0, all others as those of user 65534, and groups likewise. Changing an owner to what is shown succeeds without
// effect; any other change is EPERM. Whether something is permitted, the host decides with the rights of the process:
// somebody who is root in a guest may still get EACCES.
//
// Set-user-ID and set-group-ID are never set on the host: they are taken out of every mode silently, as Linux does with
// set-group-ID for those who are not in the file's group. Devices cannot be made (EPERM). A new file has exactly the
// permissions that Make was told otherwise, whatever the process's umask, which is not touched as it belongs to all threads.
//
// # Bounds
//
// There are at most Options.MaxNodes Nodes besides the root, and as many descriptors for contents and locks; beyond that calls
// fail with ENFILE, until there has been Forget or Done. What a call takes otherwise, a call gives back.
//
// All methods are safe for concurrent use and may wait for a disk. Errors are those of Linux, as the manual pages of the
// system calls list them; a Node that is not known, or no longer, is ESTALE. Requires Linux 5.8 with /proc mounted.
package hostdir
