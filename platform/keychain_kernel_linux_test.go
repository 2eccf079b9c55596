package platform

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NormalUser has a uid that is not in use, so that its keyring is the tests' alone.
var NormalUser = &syscall.Credential{Uid: 54321, Gid: 54321}

// rerunning is set in a test that another process of this user, or of another, runs again.
const rerunning = "PLATFORM_TEST_RERUN"

// Rerun runs one test of this binary again, in a process of its own, where os.Getenv of env's names tells it so. The test
// must pass there and not be skipped.
func Rerun(t *testing.T, test string, attr *syscall.SysProcAttr, env ...string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rerun") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, "test"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Chmod(0o755), to.Close()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(to.Name(), "-test.run=^"+test+"$", "-test.v")
	cmd.Dir, cmd.SysProcAttr = "/", attr
	cmd.Env = append(append(os.Environ(), env...), rerunning+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+test+" ") {
		t.Errorf("%s in another process: %v\n%s", test, err, out)
	}
}

// NeedKernelKeyring skips where the test would write among a person's own keys, or where the kernel refuses.
func NeedKernelKeyring(t *testing.T) {
	t.Helper()
	if os.Getenv("CI") != "true" && os.Geteuid() != int(NormalUser.Uid) {
		t.Skip("it would write to this user's persistent keyring; runs with CI=true")
	}
	if _, done, err := persistentKeyring(t.Context()); err != nil {
		if errors.Is(err, ErrUnavailable) { // a container, also one that CI runs in
			t.Skipf("the kernel refuses its keyring here: %v", err)
		}
		t.Fatal(err)
	} else {
		done()
	}
}

func kernelKeychain(t *testing.T) *Keychain {
	t.Helper()
	k, err := OpenKeychain("kernel", "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestKernelKeyringOutlives reads an item in another process, in another session of the terminal and of the kernel's.
func TestKernelKeyringOutlives(t *testing.T) {
	NeedKernelKeyring(t)
	k := kernelKeychain(t)
	if os.Getenv(rerunning) != "" {
		if os.Getenv("JOIN_SESSION") != "" {
			runtime.LockOSThread() // whose session keyring it is
			if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := k.Get(t.Context(), "contract-outlives"); err != nil || got != "secret" {
			t.Errorf("Get = %q, %v", got, err)
		}
		return
	}
	if err := k.Set(t.Context(), "contract-outlives", "secret"); err != nil {
		t.Fatal(err)
	}
	defer k.Delete(t.Context(), "contract-outlives")
	Rerun(t, t.Name(), nil)
	Rerun(t, t.Name(), &syscall.SysProcAttr{Setsid: true})
	Rerun(t, t.Name(), nil, "JOIN_SESSION=1")
}

func TestKernelKeyringLimits(t *testing.T) {
	NeedKernelKeyring(t)
	k := kernelKeychain(t)
	if err := k.Set(t.Context(), "contract-limit", "before"); err != nil {
		t.Fatal(err)
	}
	defer k.Delete(t.Context(), "contract-limit")
	if err := k.Set(t.Context(), "contract-limit", strings.Repeat("x", maxKey+1)); err == nil || !strings.Contains(err.Error(), "32767") {
		t.Errorf("Set of more than a key holds: %v", err)
	}
	if os.Geteuid() != 0 {
		wantError(t, k.Set(t.Context(), "contract-limit", strings.Repeat("x", 30000)), unix.EDQUOT, "quota")
	} else if os.Getenv(rerunning) == "" {
		Rerun(t, t.Name(), &syscall.SysProcAttr{Credential: NormalUser})
	}
	if got, err := k.Get(t.Context(), "contract-limit"); err != nil || got != "before" {
		t.Errorf("Get after refused writes = %q, %v", got, err)
	}
}

func wantError(t *testing.T, err, want error, text string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, want %v with %q", err, want, text)
	}
}

// TestKernelKeyringRefused runs where keyctl is refused, in the ways of docker's seccomp profile and of a kernel without it.
func TestKernelKeyringRefused(t *testing.T) {
	refusal := map[string]unix.Errno{"EPERM": unix.EPERM, "ENOSYS": unix.ENOSYS}
	if errno, ok := refusal[os.Getenv("REFUSE_KEYCTL")]; ok {
		refuseKeyctl(t, errno)
		wantAll(t, kernelKeychain(t), "missing", ErrUnavailable)
		auto := chooseNative("auto", secretService{addresses: "unix:path=/nonexistent/bus"})
		wantAll(t, auto, "missing", ErrUnavailable)
		_, err := auto.Get(t.Context(), "missing")
		wantError(t, err, errno, "there is no Secret Service either: the keychain of the session cannot be reached from here: no bus answers")
		_, err = chooseNative("auto", secretService{socket: "/nonexistent/bus"}).Get(t.Context(), "missing")
		if wantError(t, err, errno, "there is no Secret Service either"); strings.Contains(err.Error(), "cannot be reached from here") {
			t.Errorf("there are no signs of another session: %v", err)
		}
		return
	}
	for name := range refusal {
		Rerun(t, t.Name(), nil, "REFUSE_KEYCTL="+name)
	}
}

// refuseKeyctl has the kernel answer errno to the calls about keys, for the rest of this process (seccomp(2)).
func refuseKeyctl(t *testing.T, errno unix.Errno) {
	t.Helper()
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS // the number of the call: the first word of seccomp_data
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		result = unix.BPF_RET | unix.BPF_K
	)
	filter := []unix.SockFilter{
		{Code: load},
		{Code: equal, K: unix.SYS_KEYCTL, Jt: 3},
		{Code: equal, K: unix.SYS_ADD_KEY, Jt: 2},
		{Code: equal, K: unix.SYS_REQUEST_KEY, Jt: 1},
		{Code: result, K: unix.SECCOMP_RET_ALLOW},
		{Code: result, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	_, _, failed := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if failed != 0 {
		t.Fatalf("seccomp: %v", failed)
	}
}

// TestAutoStays has the states of a Secret Service that must not send a session to the other store.
func TestAutoStays(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it waits for a limit")
	}
	t.Parallel()
	dir := t.TempDir()
	mute := filepath.Join(dir, "mute")
	listenMute(t, mute)
	for _, row := range []struct{ reason, addresses string }{
		{"a bus that never says anything", "unix:path=" + mute},
		{"an address that is no socket", "tcp:host=127.0.0.1,port=1"},
		{"a mute bus, then one that is not there", "unix:path=" + mute + ";unix:path=" + dir + "/missing"},
		{"a kind we refuse, then one that is not there", "tcp:host=127.0.0.1;unix:path=" + dir + "/missing"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			t.Parallel()
			wantAll(t, chooseNative("auto", secretService{addresses: row.addresses}), "contract-stays", ErrUnavailable)
		})
	}
}

func TestExplain(t *testing.T) {
	s := startKeyring(t)
	for _, row := range []struct {
		choice, addresses, want string
		inMemory                bool
	}{
		{"auto", s.address, "Secret Service (gnome-keyring-daemon)", false},
		{"keychain", s.address, "Secret Service (gnome-keyring-daemon)", false},
		{"keychain", "unix:path=/nonexistent", "Secret Service", false},
		{"kernel", s.address, "kernel keyring, in memory until reboot or 3 days without use", true},
		{"auto", "unix:path=/nonexistent", "kernel keyring, in memory until reboot or 3 days without use, because there is no Secret Service", true},
		{"auto", "tcp:host=127.0.0.1", "Secret Service", false},
	} {
		k := chooseNative(row.choice, secretService{addresses: row.addresses})
		if got := k.Explain(t.Context()); got != row.want {
			t.Errorf("%s on %q: %q, want %q", row.choice, row.addresses, got, row.want)
		}
		if got := k.InMemory(t.Context()); got != row.inMemory {
			t.Errorf("%s on %q: InMemory is %v", row.choice, row.addresses, got)
		}
	}
}
