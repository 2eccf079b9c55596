package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// interview is "setup" alone: it asks for a profile where there is none, then offers git and docker.
func (c setupCommand) interview(ctx context.Context, sys *system) error {
	cfg, err := sys.config()
	if errors.Is(err, errNoConfiguration) {
		if err = firstRun(ctx, sys); err != nil {
			return err
		}
		cfg, err = sys.config()
	}
	if err != nil {
		return err
	}
	for _, tool := range []string{"git", "docker"} {
		c := c
		c.Tool = tool
		if tool == "docker" && !sys.usesDocker() {
			continue
		}
		edits, err := c.edits(sys, cfg)
		var usage *usageError
		if errors.As(err, &usage) {
			continue // no host that this tool could be told of
		}
		if err != nil {
			return err
		}
		err = sys.apply(ctx, edits, c.Yes, c.DryRun)
		if errors.Is(err, errLeft) {
			continue
		}
		if err != nil {
			return err
		}
	}
	fmt.Fprintln(sys.stderr, "that is all: the first call of a tool opens the browser, or: clerk-credential-helper login")
	return nil
}

// usesDocker tells whether this person has docker, or a configuration of it.
func (sys *system) usesDocker() bool {
	file, err := sys.dockerFile()
	return err == nil && isFile(file) || onPath("docker") || onPath("podman")
}

// firstRun asks for what a profile needs, checks it, and writes the configuration of this user. It is for a person at a
// terminal who has no profile yet.
func firstRun(ctx context.Context, sys *system) error {
	file, err := sys.userConfig()
	if err != nil {
		return err
	}
	if err := sys.notForAnother(file); err != nil {
		return err
	}
	fmt.Fprintf(sys.stderr, "No profile is configured yet. Three answers make one, in %s.\n\n", protocol.Escape(file))
	text, err := platform.ReadTrusted(file, configLimit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &configurationError{err}
	}
	if _, err := config.Parse(file, text); err != nil {
		return &configurationError{err}
	}
	whose, err := sys.answer(ctx, `Clerk's publishable key (pk_...), the issuer (https://clerk.acme.dev), or a web app with the companion page: `, func(answer string) string {
		key := "issuer"
		if strings.HasPrefix(answer, "pk_") || strings.HasPrefix(answer, "sk_") {
			key = "publishable_key"
		}
		return key + " = " + quote(answer)
	}, "client_id = \"x\"\nhosts = [\"git.acme.dev\"]")
	if err != nil {
		return err
	}
	if page := strings.Replace(whose, "issuer", "companion", 1); sys.isCompanion(ctx, page) {
		whose = page // which has no clients
	} else {
		client, err := sys.answer(ctx, "Client id of the OAuth application: ", func(answer string) string {
			return "client_id = " + quote(answer)
		}, whose+"\nhosts = [\"git.acme.dev\"]")
		if err != nil {
			return err
		}
		whose += "\n" + client
	}
	hosts, err := sys.answer(ctx, "Hosts that may have the token (git.acme.dev registry.acme.dev:5000 *.pkg.acme.dev): ", func(answer string) string {
		var quoted []string
		for _, host := range strings.FieldsFunc(answer, func(r rune) bool { return r == ' ' || r == ',' }) {
			quoted = append(quoted, quote(host))
		}
		return "hosts = [" + strings.Join(quoted, ", ") + "]"
	}, whose)
	if err != nil {
		return err
	}
	name := profileName(hosts)
	added := append([]string{"[profiles." + name + "]"}, append(strings.Split(whose, "\n"), hosts)...)
	if !isBlank(text) {
		added = append([]string{""}, added...)
	}
	return sys.writeFirst(file, text, appendLines(text, added), name)
}

// companionTime is how long a person at setup waits to have it found out what an address is.
const companionTime = 5 * time.Second

// isCompanion asks whether the page of that line of a profile is a companion page. One that does not answer is none.
func (sys *system) isCompanion(ctx context.Context, line string) bool {
	cfg, err := config.Parse("answer", []byte("[profiles.x]\n"+line+"\nhosts = [\"git.acme.dev\"]\n"))
	if err != nil || !cfg.Profiles[0].Companion {
		return false
	}
	client, err := issuer{sys, nil}.client(cfg.Profiles[0])
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, companionTime)
	defer cancel()
	_, err = client.Examine(ctx, cfg.Profiles[0])
	return err == nil || errors.Is(err, clerk.ErrNoKeys)
}

func (sys *system) writeFirst(file string, old, fresh []byte, name string) error {
	if _, err := config.Parse(file, fresh); err != nil {
		return &configurationError{err}
	}
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		err = platform.WriteFile(file, fresh)
		if err != nil {
			return fmt.Errorf("writing the configuration: %w", err)
		}
	} else {
		d := draftedEdit{edit: edit{file: file}, real: file, old: old, new: fresh, there: true, mode: 0o600}
		if err := d.write(); err != nil {
			return fmt.Errorf("writing the configuration: %w", err)
		}
	}
	fmt.Fprintf(sys.stderr, "\nprofile %s is written to %s\n", name, protocol.Escape(file))
	return nil
}

// answer asks until the answer, as a line of a profile, fits what the rest of the profile says. Ctrl-C and Ctrl-D end it.
func (sys *system) answer(ctx context.Context, question string, line func(string) string, rest string) (string, error) {
	for {
		said, err := sys.prompt(ctx, question)
		if errors.Is(err, errNobodyToAsk) {
			return "", &usageError{err}
		}
		if err != nil {
			return "", err
		}
		said = line(said)
		if _, err = config.Parse("answer", []byte("[profiles.x]\n"+said+"\n"+rest+"\n")); err == nil {
			return said, nil
		}
		_, words, _ := strings.Cut(err.Error(), ": ") // where in the answer is nothing to tell
		fmt.Fprintf(sys.stderr, "  %s\n", protocol.Escape(words))
	}
}

// quote is a basic string of TOML. What a terminal cannot type is refused by the parser, not repaired here.
func quote(s string) string {
	var b bytes.Buffer
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// profileName makes a name out of the first host: "acme" for git.acme.dev.
func profileName(hosts string) string {
	_, after, _ := strings.Cut(hosts, `"`)
	host, _, _ := strings.Cut(after, `"`)
	host, _, _ = strings.Cut(host, ":")
	labels := strings.Split(strings.ToLower(host), ".")
	if len(labels) < 2 || strings.Trim(host, "0123456789.") == "" {
		return "default"
	}
	name := labels[len(labels)-2]
	if name == "file" || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return "default"
	}
	return name
}
