// Package platformtest holds the contract that every keychain keeps, as a test that each one runs, and a keychain in
// memory for the tests of others. Secrets come in and go out; it never touches a store of the system by itself, and
// the program does not import it.
package platformtest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"clerk-credential-helper/platform"
)

// Keychain is what the contract is about; *platform.Keychain and [Memory] are two.
type Keychain interface {
	Get(ctx context.Context, name string) (string, error)
	Set(ctx context.Context, name, secret string) error
	Delete(ctx context.Context, name string) error
}

// TestKeychain checks the contract. Each call of open must return a handle of its own on one and the same store, which
// must be unlocked. Items of the names contract-... are made and removed.
func TestKeychain(t *testing.T, open func() Keychain) {
	t.Run("missing", func(t *testing.T) { testMissing(t, open()) })
	t.Run("round trip", func(t *testing.T) { testRoundTrip(t, open()) })
	t.Run("other handle", func(t *testing.T) { testOtherHandle(t, open(), open()) })
	t.Run("replace", func(t *testing.T) { testReplace(t, open()) })
	t.Run("refusals", func(t *testing.T) { testRefusals(t, open()) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, open()) })
	t.Run("reader and writer", func(t *testing.T) { testReaderAndWriter(t, open) })
}

func testMissing(t *testing.T, k Keychain) {
	ctx := context.Background()
	if secret, err := k.Get(ctx, "contract-missing"); !errors.Is(err, platform.ErrNotFound) || secret != "" {
		t.Errorf("Get of a missing item = %q, %v; want ErrNotFound", secret, err)
	}
	if err := k.Delete(ctx, "contract-missing"); !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("Delete of a missing item: %v, want ErrNotFound", err)
	}
	put(t, k, "contract-gone", "secret")
	if err := k.Delete(ctx, "contract-gone"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if _, err := k.Get(ctx, "contract-gone"); !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("Get after Delete: %v, want ErrNotFound", err)
	}
	if err := k.Delete(ctx, "contract-gone"); !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("second Delete: %v, want ErrNotFound", err)
	}
}

func testRoundTrip(t *testing.T, k Keychain) {
	// At most 20,000 bytes at a time: that is all the room a normal user has in the kernel's keyring.
	for _, together := range [][]item{
		{{"16 KiB once", pattern(16<<10, 'a')}},
		{
			{"4 KiB, first", pattern(4<<10, 'b')},
			{"4 KiB, second", pattern(4<<10, 'c')},
			{"4 KiB, third", pattern(4<<10, 'd')},
			{"one byte", "x"},
		},
		{
			{"one part of the Windows store", pattern(2560, 'f')},
			{"one byte more", pattern(2561, 'g')},
			{"characters of 2, 3 and 4 bytes", strings.Repeat("é€😀", 700)},
			{"JSON with line ends, as the session record is", "{\"v\":1,\n\t\"t\":\"\\u0000\"}\r\n"},
			{"blanks at both ends", "  secret \n"},
		},
	} {
		t.Run(together[0].reason, func(t *testing.T) { testItems(t, k, together) })
	}
}

// TestLargest checks the limit of a secret, 64 KiB, on a store that has room for it. The kernel's keyring has not.
func TestLargest(t *testing.T, k Keychain) {
	testItems(t, k, []item{{"the limit", pattern(64<<10, 'e')}})
}

type item struct{ reason, secret string }

// testItems has all items in the store at once.
func testItems(t *testing.T, k Keychain, items []item) {
	t.Helper()
	name := func(i int) string { return "contract-trip-" + string(rune('a'+i)) }
	for i, row := range items {
		put(t, k, name(i), row.secret)
	}
	for i, row := range items {
		if got, err := k.Get(context.Background(), name(i)); err != nil || got != row.secret {
			t.Errorf("%s: got %d bytes, %v; want the %d bytes that were set", row.reason, len(got), err, len(row.secret))
		}
	}
}

func testOtherHandle(t *testing.T, one, other Keychain) {
	put(t, one, "contract-handle", "secret")
	if got, err := other.Get(context.Background(), "contract-handle"); err != nil || got != "secret" {
		t.Errorf("Get through a second handle = %q, %v", got, err)
	}
	if _, err := other.Get(context.Background(), "contract-handl"); !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("Get of a name that only begins alike: %v, want ErrNotFound", err)
	}
}

func testReplace(t *testing.T, k Keychain) {
	ctx := context.Background()
	put(t, k, "contract-replace-other", "other")
	for _, secret := range []string{"first", pattern(9000, 'x'), pattern(3000, 'y'), "last"} {
		put(t, k, "contract-replace", secret)
		if got, err := k.Get(ctx, "contract-replace"); err != nil || got != secret {
			t.Fatalf("Get after a replace: %d bytes, %v; want %d bytes", len(got), err, len(secret))
		}
	}
	if got, err := k.Get(ctx, "contract-replace-other"); err != nil || got != "other" {
		t.Errorf("another item after a replace = %q, %v", got, err)
	}
	if err := k.Delete(ctx, "contract-replace"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if _, err := k.Get(ctx, "contract-replace"); !errors.Is(err, platform.ErrNotFound) {
		t.Errorf("Get after replaces and one Delete: %v, want ErrNotFound", err)
	}
	if got, err := k.Get(ctx, "contract-replace-other"); err != nil || got != "other" {
		t.Errorf("another item after a delete = %q, %v", got, err)
	}
}

func testRefusals(t *testing.T, k Keychain) {
	ctx := context.Background()
	put(t, k, "contract-refusal", "before")
	for _, row := range []struct{ reason, secret string }{
		{"empty reads as locked in KWallet", ""},
		{"KWallet cuts at NUL", "a\x00b"},
		{"KeePassXC changes what is not UTF-8", "a\xffb"},
		{"half a character", "\xe2\x82"},
		{"above the limit", pattern(64<<10+1, 'x')},
	} {
		if err := k.Set(ctx, "contract-refusal", row.secret); err == nil {
			t.Errorf("Set was not refused: %s", row.reason)
		} else if row.secret != "" && strings.Contains(err.Error(), row.secret) {
			t.Errorf("the refusal holds the secret: %s", row.reason)
		}
	}
	if got, err := k.Get(ctx, "contract-refusal"); err != nil || got != "before" {
		t.Errorf("Get after refusals = %q, %v; want the secret before them", got, err)
	}
	for _, name := range []string{"", "../contract", "a/b", `a\b`, "a b", "Contract", "a.b", "a*", "é", "a\x00", strings.Repeat("n", 101)} {
		if err := k.Set(ctx, name, "secret"); err == nil {
			t.Errorf("Set under the name %q was not refused", name)
		}
		if _, err := k.Get(ctx, name); err == nil || errors.Is(err, platform.ErrNotFound) {
			t.Errorf("Get of the name %q: %v, want a refusal", name, err)
		}
		if err := k.Delete(ctx, name); err == nil || errors.Is(err, platform.ErrNotFound) {
			t.Errorf("Delete of the name %q: %v, want a refusal", name, err)
		}
	}
}

func testCancelled(t *testing.T, k Keychain) {
	put(t, k, "contract-cancelled", "before")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := k.Get(ctx, "contract-cancelled"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get with an ended context: %v", err)
	}
	if err := k.Set(ctx, "contract-cancelled", "after"); !errors.Is(err, context.Canceled) {
		t.Errorf("Set with an ended context: %v", err)
	}
	if err := k.Delete(ctx, "contract-cancelled"); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete with an ended context: %v", err)
	}
	if got, err := k.Get(context.Background(), "contract-cancelled"); err != nil || got != "before" {
		t.Errorf("Get after them = %q, %v", got, err)
	}
}

// testReaderAndWriter has one writer replace an item with secrets of different length and content while readers read
// it: each reading is one of the secrets as a whole.
func testReaderAndWriter(t *testing.T, open func() Keychain) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	secrets := []string{pattern(10000, 'a'), pattern(2000, 'b'), pattern(6000, 'c')}
	const name, readers, rounds = "contract-race", 3, 30
	put(t, open(), name, secrets[0])
	var wg sync.WaitGroup
	var done atomic.Bool
	var readings atomic.Int64
	for range readers {
		reader := open()
		wg.Go(func() {
			for !done.Load() {
				got, err := reader.Get(ctx, name)
				if err != nil {
					t.Errorf("Get while the item is replaced: %v", err)
					return
				}
				if got != secrets[0] && got != secrets[1] && got != secrets[2] {
					t.Errorf("a reader saw %d bytes that were never written", len(got))
					return
				}
				readings.Add(1)
			}
		})
	}
	writer := open()
	for i := 0; i < rounds || readings.Load() < readers*10 && !t.Failed(); i++ {
		if err := writer.Set(ctx, name, secrets[i%len(secrets)]); err != nil {
			t.Errorf("Set while the item is read: %v", err)
			break
		}
	}
	done.Store(true)
	wg.Wait()
}

// put sets an item and removes it at the end of the test.
func put(t *testing.T, k Keychain, name, secret string) {
	t.Helper()
	if err := k.Set(context.Background(), name, secret); err != nil {
		t.Fatalf("Set of %d bytes: %v", len(secret), err)
	}
	t.Cleanup(func() {
		if err := k.Delete(context.Background(), name); err != nil && !errors.Is(err, platform.ErrNotFound) {
			t.Errorf("removing %s: %v", name, err)
		}
	})
}

// pattern is n bytes of ASCII in which every stretch tells where it belongs, so that a mixture shows.
func pattern(n int, letter byte) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = letter
		if i%16 == 0 {
			b[i] = byte('0' + i/16%10)
		}
	}
	return string(b)
}

// Memory is a keychain in memory. The zero value is empty and ready, and safe for concurrent use.
type Memory struct {
	// Hook, if not nil, is called before each operation with "get", "set" or "delete" and the item's name. An error
	// that it returns is the operation's outcome, and nothing is done. Set it before the keychain is shared.
	Hook func(op, name string) error

	mu    sync.Mutex
	items map[string]string
}

// Get returns an item's secret or [platform.ErrNotFound].
func (m *Memory) Get(ctx context.Context, name string) (string, error) {
	if err := m.check(ctx, "get", name); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	secret, ok := m.items[name]
	switch {
	case !ok:
		return "", platform.ErrNotFound
	case secret == "":
		return "", platform.ErrDamaged
	}
	return secret, nil
}

// Damage gives an item any text, also one that Set refuses, as a full disk or a power cut does. Get of an empty one returns
// [platform.ErrDamaged].
func (m *Memory) Damage(name, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.items == nil {
		m.items = make(map[string]string)
	}
	m.items[name] = text
}

// Set makes or replaces an item.
func (m *Memory) Set(ctx context.Context, name, secret string) error {
	if secret == "" || len(secret) > 64<<10 || !utf8.ValidString(secret) || strings.Contains(secret, "\x00") {
		return errors.New("a secret must be 1 to 65,536 bytes of UTF-8 without NUL")
	}
	if err := m.check(ctx, "set", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.items == nil {
		m.items = make(map[string]string)
	}
	m.items[name] = secret
	return nil
}

// Delete removes an item, or returns [platform.ErrNotFound].
func (m *Memory) Delete(ctx context.Context, name string) error {
	if err := m.check(ctx, "delete", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.items[name]; !ok {
		return platform.ErrNotFound
	}
	delete(m.items, name)
	return nil
}

// Names returns the names of all items, in no order.
func (m *Memory) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.items {
		names = append(names, name)
	}
	return names
}

func (m *Memory) check(ctx context.Context, op, name string) error {
	foreign := func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }
	if name == "" || len(name) > 100 || strings.ContainsFunc(name, foreign) {
		return errors.New("invalid item name")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.Hook != nil {
		return m.Hook(op, name)
	}
	return nil
}
