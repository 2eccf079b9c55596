package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// kernelKeyring keeps each secret as a key of the type "user" in the user's persistent keyring (persistent-keyring(7)):
// in memory, gone at a reboot, or when the keyring was not used for the time in persistent_keyring_expiry, 3 days. All
// processes of the user share it, in any session, and no other user has access.
type kernelKeyring struct{}

const (
	keyType = "user"
	// maxKey is the most that a key of that type holds (keyrings(7)). A normal user has 20,000 bytes for all keys.
	maxKey = 32767
	// anyUser stands for this user where a uid is asked for.
	anyUser = -1
)

func (kernelKeyring) get(ctx context.Context, name string) (string, error) {
	ring, done, err := persistentKeyring(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	key, err := unix.KeyctlSearch(ring, keyType, keyDescription(name), 0)
	if err != nil {
		return "", keyError("keyctl_search", err)
	}
	b := make([]byte, maxKey)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, key, b, 0)
	if err != nil {
		return "", keyError("keyctl_read", err)
	}
	return string(b[:min(n, maxKey)]), nil
}

// set updates a key of that description in place; the kernel does that in one step.
func (kernelKeyring) set(ctx context.Context, name, secret string) error {
	if len(secret) > maxKey {
		return fmt.Errorf("a secret of %d bytes is above the limit of a key in the kernel, %d", len(secret), maxKey)
	}
	ring, done, err := persistentKeyring(ctx)
	if err != nil {
		return err
	}
	defer done()
	_, err = unix.AddKey(keyType, keyDescription(name), []byte(secret), ring)
	return keyError("add_key", err)
}

func (kernelKeyring) delete(ctx context.Context, name string) error {
	ring, done, err := persistentKeyring(ctx)
	if err != nil {
		return err
	}
	defer done()
	key, err := unix.KeyctlSearch(ring, keyType, keyDescription(name), 0)
	if err != nil {
		return keyError("keyctl_search", err)
	}
	// Revoking gives the quota back at once, unlinking only when the kernel collects its garbage.
	if _, err := unix.KeyctlInt(unix.KEYCTL_REVOKE, key, 0, 0, 0); err != nil {
		return keyError("keyctl_revoke", err)
	}
	_, err = unix.KeyctlInt(unix.KEYCTL_UNLINK, key, ring, 0, 0)
	return keyError("keyctl_unlink", err)
}

func (kernelKeyring) explain(context.Context) string {
	kept := "until reboot or some time without use"
	if text, err := os.ReadFile("/proc/sys/kernel/keys/persistent_keyring_expiry"); err == nil {
		if seconds, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			kept = "until reboot or " + unused(time.Duration(seconds)*time.Second) + " without use"
		}
	}
	return "kernel keyring, in memory " + kept
}

func unused(d time.Duration) string {
	if days := d / (24 * time.Hour); days > 1 {
		return fmt.Sprintf("%d days", days)
	}
	return d.String()
}

func keyDescription(name string) string { return keychainService + ":" + name }

// persistentKeyring links the user's persistent keyring to the keyring of this thread, which makes us its possessor,
// and keeps the goroutine on the thread until done. The process's keyring would not do: a thread that is older than it
// does not see it. Each thread's keyring counts as one of the user's keys, of which a normal user may have 200; many
// processes at once wait for others to end, for 3 s at most.
func persistentKeyring(ctx context.Context) (ring int, done func(), err error) {
	runtime.LockOSThread()
	limited, cancel := context.WithTimeout(ctx, replyLimit)
	defer cancel()
	for {
		ring, err = unix.KeyctlInt(unix.KEYCTL_GET_PERSISTENT, anyUser, unix.KEY_SPEC_THREAD_KEYRING, 0, 0)
		if err == nil {
			return ring, runtime.UnlockOSThread, nil
		}
		if errors.Is(err, unix.EDQUOT) && wait(limited, 10*time.Millisecond) {
			continue
		}
		runtime.UnlockOSThread()
		if ctx.Err() != nil {
			return 0, nil, ctx.Err()
		}
		return 0, nil, keyError("keyctl_get_persistent", err)
	}
}

// wait sleeps and reports whether the context is still alive.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// keyError translates the error of a system call.
func keyError(call string, err error) error {
	switch err {
	case nil:
		return nil
	case unix.ENOKEY, unix.EKEYEXPIRED, unix.EKEYREVOKED:
		return ErrNotFound
	case unix.EDQUOT:
		return fmt.Errorf("the kernel keyring is full: this user's quota is used up (/proc/sys/kernel/keys/maxbytes, maxkeys): %w", os.NewSyscallError(call, err))
	case unix.EPERM, unix.EACCES:
		return fmt.Errorf("%w: the kernel keyring is closed to this process, as it is in most containers: %w", ErrUnavailable, os.NewSyscallError(call, err))
	case unix.ENOSYS, unix.EOPNOTSUPP:
		return fmt.Errorf("%w: this kernel has no persistent keyrings: %w", ErrUnavailable, os.NewSyscallError(call, err))
	}
	return fmt.Errorf("kernel keyring: %w", os.NewSyscallError(call, err))
}
