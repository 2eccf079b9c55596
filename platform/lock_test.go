package platform

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func playLockHolder() error {
	release, err := Locks{os.Getenv("PLATFORM_TEST_DIR")}.Lock(context.Background(), "session")
	if err != nil {
		return err
	}
	defer release()
	os.Stdout.WriteString("held\n")
	_, err = io.Copy(io.Discard, os.Stdin) // until the test ends it
	return err
}

// playLockCounter adds 1 to the number in a file 20 times, each time under the lock.
func playLockCounter() error {
	dir := os.Getenv("PLATFORM_TEST_DIR")
	for range 20 {
		release, err := Locks{dir}.Lock(context.Background(), "session")
		if err != nil {
			return err
		}
		path := filepath.Join(filepath.Dir(dir), "count")
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		count, err := strconv.Atoi(string(data))
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(strconv.Itoa(count+1)), 0o600); err != nil {
			return err
		}
		release()
	}
	return nil
}

func TestLocksInOneProcess(t *testing.T) {
	locks := Locks{filepath.Join(TempDir(t), "a", "locks")}
	release := mustLock(t, locks, "session")
	if _, ok, err := locks.TryLock("session"); ok || err != nil {
		t.Errorf("TryLock of a held lock = %v, %v; want false", ok, err)
	}
	other, ok, err := locks.TryLock("signin")
	if !ok || err != nil {
		t.Fatalf("TryLock of another name = %v, %v; want true", ok, err)
	}
	other()
	release()
	release() // does nothing, above all not to the next holder
	again := mustLock(t, locks, "session")
	release()
	if _, ok, err := locks.TryLock("session"); ok || err != nil {
		t.Errorf("TryLock after a repeated release of an earlier holder = %v, %v; want false", ok, err)
	}
	again()
}

func TestLockWaits(t *testing.T) {
	locks := Locks{TempDir(t)}
	private(t, locks.Dir)
	release := mustLock(t, locks, "session")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := locks.Lock(ctx, "session"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock until the context ends: %v, want DeadlineExceeded", err)
	}
	got := make(chan error)
	go func() {
		second, err := locks.Lock(context.Background(), "session")
		if err == nil {
			second()
		}
		got <- err
	}()
	release()
	select {
	case err := <-got:
		if err != nil {
			t.Errorf("the waiting Lock: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a released lock did not reach the one who waits")
	}
}

// TestLockConvoy: eight that began together have had the lock within 3 s after it is free, and do not take turns of a second each.
func TestLockConvoy(t *testing.T) {
	locks := Locks{TempDir(t)}
	private(t, locks.Dir)
	synctest.Test(t, func(t *testing.T) {
		release := mustLock(t, locks, "session")
		var waiting sync.WaitGroup
		for range 8 {
			waiting.Go(func() {
				second, err := locks.Lock(t.Context(), "session")
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Millisecond)
				second()
			})
		}
		time.Sleep(20 * time.Second)
		release()
		began := time.Now()
		waiting.Wait()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the last had it after %v", took)
		}
	})
}

func TestLockDiesWithItsHolder(t *testing.T) {
	locks := Locks{TempDir(t)}
	private(t, locks.Dir)
	cmd := self(t, "lock holder", "PLATFORM_TEST_DIR="+locks.Dir)
	stdin, err := cmd.StdinPipe() // stays open: only the kill ends it
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the holder said %q, %v", line, err)
	}
	if _, ok, err := locks.TryLock("session"); ok || err != nil {
		t.Errorf("TryLock while another process holds it = %v, %v; want false", ok, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	release, ok, err := locks.TryLock("session")
	if !ok || err != nil {
		t.Fatalf("TryLock after the holder was killed = %v, %v; want true", ok, err)
	}
	release()
}

func TestLockCountsAcrossProcesses(t *testing.T) {
	dir := TempDir(t)
	if err := os.WriteFile(filepath.Join(dir, "count"), []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	const processes = 6
	ended := make(chan error, processes)
	for range processes {
		cmd := self(t, "lock counter", "PLATFORM_TEST_DIR="+filepath.Join(dir, "locks"))
		cmd.Stderr = os.Stderr
		go func() { ended <- cmd.Run() }()
	}
	for range processes {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "count")); err != nil || string(data) != strconv.Itoa(processes*20) {
		t.Errorf("the count is %q, %v; want %d", data, err, processes*20)
	}
}

func TestLockRefusals(t *testing.T) {
	dir := TempDir(t)
	private(t, dir)
	for _, name := range []string{"", "..", "../x", "a/b", "A", "a.b", "a b", "é", "a\x00", strings.Repeat("a", 101)} {
		if _, ok, err := (Locks{dir}).TryLock(name); ok || err == nil {
			t.Errorf("TryLock(%q) was not refused", name)
		}
		if _, err := (Locks{dir}).Lock(t.Context(), name); err == nil {
			t.Errorf("Lock(%q) was not refused", name)
		}
	}
	for _, relative := range []string{"", "locks", "./locks"} {
		if _, ok, err := (Locks{relative}).TryLock("a"); ok || err == nil {
			t.Errorf("a lock in %q was not refused", relative)
		}
	}
}

func TestLockLeavesTheFileAlone(t *testing.T) {
	dir := TempDir(t)
	private(t, dir)
	path := filepath.Join(dir, "session.lock")
	if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustLock(t, Locks{dir}, "session")()
	if data, err := os.ReadFile(path); err != nil || string(data) != "kept" {
		t.Errorf("the lock file holds %q, %v; want it as it was", data, err)
	}
}

func mustLock(t *testing.T, locks Locks, name string) (release func()) {
	t.Helper()
	release, err := locks.Lock(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// private closes a folder that the testing package has made to others.
func private(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}
