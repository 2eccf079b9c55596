package platform

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"unicode/utf8"
)

// The conditions of a store that callers distinguish with errors.Is.
var (
	// ErrNotFound means that there is no item of that name.
	ErrNotFound = errors.New("no such item in the keychain")
	// ErrLocked means that the store exists but cannot be read now: it is locked, its prompt was dismissed, or it
	// cannot be used in this kind of logon (both common over SSH).
	ErrLocked = errors.New("the keychain is locked")
	// ErrUnavailable means that there is no such store here: no service, no bus, or an operating system without one.
	ErrUnavailable = errors.New("no keychain is available")
	// ErrDamaged means that the item cannot be what was stored: it is empty, too large, or not whole. Set replaces it, and
	// Delete removes it.
	ErrDamaged = errors.New("the item in the keychain is damaged")
)

// ErrNoKeyring is [ErrLocked] of a Secret Service that has no default keyring. Only a prompt of its own can make one, which needs
// a desktop.
var ErrNoKeyring error = lockedError{errors.New("the Secret Service has no default keyring")}

// ErrConfirm is [ErrLocked] of a service that has the person confirm each access to an item, as KeePassXC does unless told
// otherwise. The keychain itself is open.
var ErrConfirm error = lockedError{errors.New("the keychain has the person confirm each access")}

// lockedError is a kind of [ErrLocked], with a message of its own.
type lockedError struct{ error }

func (lockedError) Is(target error) bool { return target == ErrLocked }

// UnseenError is [ErrNotFound] of a store that stands in for another one, which may have the item and could not be looked at.
type UnseenError struct {
	Store string // where there is no such item
	Why   string // the other store could not be looked at, after "and"
	// Elsewhere is set if there are signs of the other store, such as the address of a bus that does not answer.
	Elsewhere bool
	Caller    string // who called us by sudo, and has a keychain that root cannot look into; else empty
	Flatpak   string // the Flatpak in which we run, which is not allowed to talk to the service; else empty
	Bus       string // the socket of this user's own bus, if it is there and another one was to be used; else empty
	Err       error  // of looking at the other store, if it is there; else nil
}

func (e *UnseenError) Error() string {
	return fmt.Sprintf("nothing is kept in the %s, and %s", e.Store, e.Why)
}

func (e *UnseenError) Unwrap() []error { return []error{ErrNotFound, e.Err} }

// The names and limits of the items. They are part of the frozen item schema: items written by any release are read
// by every later one.
const (
	keychainService = "clerk-credential-helper"
	maxSecret       = 64 << 10 // bytes
	maxName         = 100      // bytes; Windows and Wine end near 255 for a whole target
)

// Keychain is one store of secrets. Use [OpenKeychain] to make one. It holds no connection between calls, but for what Unlock
// says, and is safe for concurrent use.
//
// A name is 1 to 100 bytes of [a-z0-9-]. A secret is 1 to 65,536 bytes of UTF-8 without NUL, because some stores
// mangle the rest (KeePassXC, KWallet) and some answer an empty secret for a locked item (KWallet).
//
// Apart from Unlock no call raises a prompt, and each ends when its context does or after 3 s of silence of the store.
// On macOS, where the system alone decides about prompts, it is 60 s in a graphical session.
type Keychain struct {
	store    store
	unlock   func(ctx context.Context, waiting func(), items ...string) error // nil where nothing can be unlocked
	granted  func() bool                                                      // nil where no access is confirmed; see Granted
	confirms func(context.Context) bool                                       // nil as well
	probe    func(ctx context.Context, name, secret string) (whole bool, err error)
	describe string
	explain  func(context.Context) string // nil where describe says it all
	inMemory func(context.Context) bool   // nil where what is kept outlives a reboot
	lockDir  func() (string, error)
	beside   *Keychain // nil where there is no other store
}

// store is what an operating system, or a file, supplies. Names and secrets have been checked.
type store interface {
	get(ctx context.Context, name string) (string, error)
	set(ctx context.Context, name, secret string) error
	delete(ctx context.Context, name string) error
}

// labelledStore is a store whose items have a label; see [Keychain.SetLabelled].
type labelledStore interface {
	setLabelled(ctx context.Context, name, label, secret string) error
}

// OpenKeychain returns the store that choice names:
//
//   - "keychain": the native one
//   - "kernel": on Linux, the keyring of the kernel
//   - "auto" or "": the native one; on Linux the kernel's keyring where there is no Secret Service at all, and for an item
//     that was kept there before a service came up. A service that is locked, silent or broken is an error, never a reason
//     for the other store: a session stays where it is. See [Keychain.Beside].
//   - "file": files in stateDir
//   - "none": a store that is always empty and refuses to keep anything
//
// Opening does not touch the store: the first call returns what is wrong with it.
func OpenKeychain(choice, stateDir string) (*Keychain, error) {
	switch choice {
	case "", "auto", "keychain", "kernel":
		return openNative(choice)
	case "file":
		if !filepath.IsAbs(stateDir) {
			return nil, fmt.Errorf("the file store needs an absolute folder, not %q", stateDir)
		}
		return &Keychain{
			store:    fileStore{dir: stateDir},
			describe: "file " + stateDir,
			lockDir:  func() (string, error) { return filepath.Join(stateDir, "locks"), nil },
		}, nil
	case "none":
		return &Keychain{store: noStore{}, describe: "none", lockDir: LockDir}, nil
	}
	return nil, fmt.Errorf("unknown store %q, want auto, keychain, kernel, file or none", choice)
}

// Get returns the secret of an item. Errors: [ErrNotFound], which may be an [*UnseenError], [ErrDamaged], [ErrLocked],
// [ErrUnavailable], the context's, or another.
func (k *Keychain) Get(ctx context.Context, name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return k.store.get(ctx, name)
}

// Set makes or replaces an item. A reader at the same time gets the old secret or the new one, never a mixture and
// never ErrNotFound. Writers of one item exclude each other with [Locks]; see [Keychain.LockDir]. Errors: [ErrLocked],
// [ErrUnavailable], the context's, or another.
func (k *Keychain) Set(ctx context.Context, name, secret string) error {
	return k.SetLabelled(ctx, name, "", secret)
}

// SetLabelled is Set of an item with a label for people, in the programs that show what a keychain has. It is no part of the
// item's name. Only the Secret Service keeps it, with "-" for "/", which would be a folder to KWallet.
func (k *Keychain) SetLabelled(ctx context.Context, name, label, secret string) error {
	if err := checkName(name); err != nil {
		return err
	}
	switch {
	case secret == "":
		return errors.New("an empty secret cannot be kept")
	case len(secret) > maxSecret:
		return fmt.Errorf("a secret of %d bytes is above the limit of %d", len(secret), maxSecret)
	case !utf8.ValidString(secret), strings.Contains(secret, "\x00"):
		return errors.New("a secret must be UTF-8 without NUL")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s, ok := k.store.(labelledStore); ok {
		return s.setLabelled(ctx, name, strings.ReplaceAll(label, "/", "-"), secret)
	}
	return k.store.set(ctx, name, secret)
}

// Delete removes an item. Errors: as for [Keychain.Get].
func (k *Keychain) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return k.store.delete(ctx, name)
}

// Unlock raises the store's own unlock prompt if it is locked, and waits at most 2 minutes for the person. A store
// without a default keyring is asked to make one, which is the same kind of prompt. Once the prompt has been there for 2 s,
// waiting is called in a goroutine of its own, unless it is nil. It does nothing where there is nothing to unlock.
//
// From then on the calls for the items named may be prompts as well, with the same limit, of a service that asks by itself
// ([ErrConfirm]): one connection is kept for them, because the person's answer is good for a connection.
//
// Errors: [ErrLocked] when the person dismissed the prompt or did not answer it, [ErrUnavailable].
func (k *Keychain) Unlock(ctx context.Context, waiting func(), items ...string) error {
	if k.unlock == nil {
		return nil
	}
	return k.unlock(ctx, waiting, items...)
}

// Granted reports whether a person has been asked, after Unlock, for what another process would have to ask for again.
func (k *Keychain) Granted() bool { return k.granted != nil && k.granted() }

// Confirms reports whether the person has to confirm each access to items of ours that are there; see [ErrConfirm]. It raises
// no prompt.
func (k *Keychain) Confirms(ctx context.Context) bool { return k.confirms != nil && k.confirms(ctx) }

// Describe names the store for people: "Secret Service", "macOS keychain", "Windows Credential Manager", "file PATH".
func (k *Keychain) Describe() string { return k.describe }

// Explain is Describe with what has to be looked up: which program provides the store, and which store was chosen and
// why. It raises no prompt and takes as long as a Get at most.
func (k *Keychain) Explain(ctx context.Context) string {
	if k.explain == nil {
		return k.describe
	}
	return k.explain(ctx)
}

// InMemory reports whether a reboot deletes what the store keeps. It raises no prompt and takes as long as a Get at
// most.
func (k *Keychain) InMemory(ctx context.Context) bool { return k.inMemory != nil && k.inMemory(ctx) }

// Beside returns the store in which items may have been kept while the usual one was not there; nil if there is no such
// store. Get of a Keychain reads it for an item that the usual store does not have, and Set and Delete remove what it has. Its Get
// returns an [*UnseenError] while the usual store is not there. Its Set is for a "signed out" while the usual store is locked.
func (k *Keychain) Beside() *Keychain { return k.beside }

// LockDir returns the folder for the [Locks] of this store: beside the file for the file store, otherwise [LockDir].
// It belongs to the store, so that two environments that share a store share its locks.
func (k *Keychain) LockDir() (string, error) { return k.lockDir() }

// checkName restricts the names of items and locks to bytes that every store and file system keeps unchanged, also one
// that ignores case.
func checkName(name string) error {
	foreign := func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, foreign) {
		return fmt.Errorf("invalid name %q, want 1 to %d of a-z, 0-9 and -", name, maxName)
	}
	return nil
}

// noStore is the store for machines that use injected tokens only: always empty, never written.
type noStore struct{}

func (noStore) get(context.Context, string) (string, error) { return "", ErrNotFound }

func (noStore) set(context.Context, string, string) error {
	return fmt.Errorf("%w: the store is switched off (none)", ErrUnavailable)
}

func (noStore) delete(context.Context, string) error { return ErrNotFound }

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
