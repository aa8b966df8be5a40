// Package hostfs has a guest's file system of shared directories (guest/fs/hostfs and guest/driver/sharedev) talk to the
// monitor's end (devices/share and hostdir) through a queue in this process's memory: all of it but the exits, on any host. It has
// tests only.
//
//	hostfs ─ sharedev ─ queue ─ devices/share ─ hostdir ─ a directory
package hostfs
