package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// Outcomes of an [Entry]: where the token came from, or that none was given.
const (
	GaveKeychain    = "keychain"
	GaveEnvironment = "environment"
	GaveMinted      = "minted"
	GaveRefreshed   = "refreshed"
	GaveSignedIn    = "signed_in"
	GaveNone        = "refused"
)

// Entry is one line of the history: a tool asked for the token of a profile. Nothing in it is secret, and there is none for the
// host of no profile.
type Entry struct {
	At      time.Time `json:"at"`                // in UTC, in whole seconds
	Tool    string    `json:"tool"`              // the wire, such as "git", or a command of ours
	Program string    `json:"program,omitempty"` // that has called us: foreign text
	Host    string    `json:"host,omitempty"`    // as the tool wrote it, without a user; none where it named the profile instead
	Profile string    `json:"profile"`
	Outcome string    `json:"outcome"`
	// Token is the first 8 hexadecimal digits of the SHA-256 of the token, which explain shows as well. They show whether two
	// tokens are the same, and nothing of what the token is.
	Token string `json:"token,omitempty"`
	// CI is the one whose job's token was exchanged, and Claims are those of that token, as far as they are known.
	CI     string       `json:"ci,omitempty"`
	Claims clerk.Claims `json:"claims,omitempty"`
}

// Limits of the foreign text in an entry, in bytes.
const (
	programMost = 64
	hostMost    = 300
)

// Line returns the entry as one line of JSON, with its end. encoding/json would first find out about the type, which takes
// longer than all else here.
func (e Entry) Line() []byte {
	line := append([]byte(`{"at":"`), e.At.Format(time.RFC3339)...)
	add := func(name, value string) {
		if value == "" {
			return
		}
		line = append(append(append(line, `,"`...), name...), `":`...)
		for _, r := range value {
			if r < ' ' || r > '~' || r == '"' || r == '\\' {
				quoted, _ := json.Marshal(protocol.Escape(value))
				line = append(line, quoted...)
				return
			}
		}
		line = append(append(append(line, '"'), value...), '"')
	}
	line = append(line, '"')
	add("tool", e.Tool)
	add("program", clipText(e.Program, programMost))
	add("host", clipText(e.Host, hostMost))
	add("profile", e.Profile)
	add("outcome", e.Outcome)
	add("token", e.Token)
	add("ci", e.CI)
	if e.Claims != nil {
		claims, _ := json.Marshal(e.Claims)
		line = append(append(line, `,"claims":`...), claims...)
	}
	return append(line, '}', '\n')
}

// History is the entries of this user, in a folder of their own, 0700: history.jsonl, to which many processes append, and
// history.old.jsonl, which it becomes when it has Most bytes. So the entries have about twice as many bytes at most. A link in the
// place of a file is refused.
type History struct {
	Dir  string // absolute
	Most int64
}

// HistoryIn returns the history in a state folder, of twice 1 MiB: some 12,000 entries. It makes nothing.
func HistoryIn(state string) History {
	return History{filepath.Join(state, "history"), 1 << 20}
}

func (h History) files() (older, present string) {
	return filepath.Join(h.Dir, "history.old.jsonl"), filepath.Join(h.Dir, "history.jsonl")
}

// Add writes an entry, with the name of the program that has called ours. What cannot be written is lost: no tool waits for it.
func (h History) Add(e Entry) {
	e.Program = platform.ParentName()
	h.append(e.Line())
}

// Check reports why no entry can be written. It makes the file, if that is missing.
func (h History) Check() error { return h.append(nil) }

// append writes a line in one piece. It waits for no other process, but for one on Windows that writes its own line.
func (h History) append(line []byte) error {
	_, present := h.files()
	f, err := platform.AppendPrivate(present)
	if err != nil {
		return err
	}
	if len(line) > 0 {
		err = platform.AppendWhole(f, line)
	}
	info, failed := f.Stat()
	f.Close() // before it is renamed: Windows renames no file that is open
	if failed == nil && info.Size() >= h.Most {
		h.rotate()
	}
	return err
}

// rotate renames the file, unless another process does so now, or has. If it fails, the next entry tries again.
func (h History) rotate() {
	release, ok, err := platform.Locks{Dir: h.Dir}.TryLock("history")
	if err != nil || !ok {
		return
	}
	defer release()
	older, present := h.files()
	if info, err := os.Lstat(present); err == nil && info.Size() >= h.Most {
		os.Rename(present, older)
	}
}

// Read returns the entries that are not before a time, the oldest first. What is no entry is left out: a full disk cuts a line off.
func (h History) Read(since time.Time) ([]Entry, error) {
	entries := []Entry{}
	older, present := h.files()
	for _, file := range []string{older, present} {
		text, err := platform.ReadPlain(file, 4*h.Most)
		if err != nil {
			return nil, fmt.Errorf("reading the history: %w", err)
		}
		for line := range bytes.Lines(text) {
			var e Entry
			if json.Unmarshal(line, &e) == nil && e.Profile != "" && !e.At.Before(since) {
				entries = append(entries, e)
			}
		}
	}
	return entries, nil
}

// Hand carries out a plan, as Execute does, for a tool that asks for a host, and has the history say so. The host is empty if
// the tool has named the profile instead.
func Hand(ctx context.Context, b *Broker, plan Plan, tool, host string) (Session, error) {
	s, gave, err := execute(ctx, b, plan)
	if b.History == nil {
		return s, err
	}
	e := Entry{At: b.Now().UTC().Truncate(time.Second), Tool: tool, Host: host, Profile: plan.Profile.Name, Outcome: GaveNone}
	if err == nil {
		e.Outcome, e.Token = gave, tokenMark(plan.Profile, s)
	}
	if failed, ok := errors.AsType[*MintError](err); plan.Source == SourceExchange {
		if e.CI, e.Claims = plan.Profile.InJob, s.Claims; ok {
			e.Claims = failed.Claims
		}
	}
	b.History(e)
	return s, err
}

func tokenMark(p *config.Profile, s Session) string {
	sum := sha256.Sum256([]byte(s.Token(p)))
	return hex.EncodeToString(sum[:4])
}
