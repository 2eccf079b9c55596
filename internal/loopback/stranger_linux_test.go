package loopback

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"clerk-credential-helper/internal/testworld"
	"clerk-credential-helper/platform"
)

// TestStartOfStrangers: processes of two other users have read the start link. They learn nothing from it and do not use it
// up, by which kind of socket they come and however fast they close it; then the person's browser comes.
func TestStartOfStrangers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be other users")
	}
	testworld.Long(t, "it copies the test's program, for two other users to ask eighty times")
	program := testworld.OpenToAll(t)
	l, err := Listen(t.Context(), Page{Profile: "acme"}, platform.OwnPeer)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	start, err := l.Begin(testState, testAuthorize)
	if err != nil {
		t.Fatal(err)
	}
	for _, uid := range []uint32{4243, 4244} {
		cmd := exec.Command(program, "-test.run=^TestStrangerProcess$")
		cmd.Env = []string{"LOOPBACK_TEST_START=" + start}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		answers, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("user %d: %v\n%s", uid, err, answers)
		}
		// Of some twenty that wait, a loaded machine may answer one too late.
		if n := strings.Count(string(answers), "HTTP/1.1 "); n < 10 || n != strings.Count(string(answers), "HTTP/1.1 404 Not Found") {
			t.Errorf("user %d: not each of %d answers is a 404:\n%s", uid, n, answers)
		}
		for _, word := range []string{testState, "authorize", "Location", "Set-Cookie", "acme"} {
			if strings.Contains(string(answers), word) {
				t.Errorf("user %d was told %q", uid, word)
			}
		}
	}
	if resp, _ := get(t, browser(t), start); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != testAuthorize {
		t.Errorf("the person: %s", resp.Status)
	}
	mustStillWork(t, l)
}

// TestStrangerProcess is another user's process of TestStartOfStrangers. It prints what it is answered.
func TestStrangerProcess(t *testing.T) {
	start := os.Getenv("LOOPBACK_TEST_START")
	if start == "" {
		return
	}
	host, path, _ := strings.Cut(strings.TrimPrefix(start, "http://"), "/")
	to := netip.MustParseAddrPort(host)
	request := "GET /" + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"
	for range 5 {
		for _, mapped := range []bool{false, true} {
			for _, how := range []string{"wait", "half close", "close", "reset"} {
				answer, err := ask(to, mapped, request, how)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Printf("%s", answer)
			}
		}
	}
	os.Exit(0)
}

func ask(to netip.AddrPort, mapped bool, request, how string) (answer []byte, err error) {
	family, address := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	if mapped {
		family, address = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	socket := os.NewFile(uintptr(fd), "socket")
	defer socket.Close()
	if err := unix.Connect(fd, address); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(socket, request); err != nil {
		return nil, err
	}
	switch how {
	case "half close":
		err = unix.Shutdown(fd, unix.SHUT_WR)
	case "reset":
		return nil, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	case "close":
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(socket, 1<<20))
}
