package platform

import "runtime"

// Shared reports whether processes that do not share the store's [Keychain.LockDir] may use it. On Linux a Flatpak has the
// Secret Service of the session, and a container or a chroot of the same user namespace has the kernel's keyring, but each has
// another /run/user/UID.
func (k *Keychain) Shared() bool {
	switch k.store.(type) {
	case fileStore, noStore:
		return false
	}
	return runtime.GOOS == "linux"
}
