package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerk-credential-helper/internal/testworld"
)

// TestCompletionInShells types into real shells. Ctrl-G prints the line as the shell has it, behind all that TAB has done, and
// clears it, so that nothing waits for a time; Ctrl-C and Ctrl-U would be the terminal's wherever the shell is not yet at it.
func TestCompletionInShells(t *testing.T) {
	for shell, begin := range map[string]func(p *person, home string) []string{
		"bash": func(p *person, home string) []string {
			write(p.T, home+"/rc", `PS1='ready> '
source <(clerk-credential-helper completion bash)
bind -x '"\C-g":printf "\n<%s>\n" "$READLINE_LINE"; READLINE_LINE= READLINE_POINT=0'
bind 'set enable-bracketed-paste off'
`)
			return []string{"bash", "--noprofile", "--rcfile", home + "/rc", "-i"}
		},
		"zsh": func(p *person, home string) []string {
			p.env = append(p.env, "ZDOTDIR="+home)
			write(p.T, home+"/.zshrc", `PS1='ready> '
autoload -U compinit
compinit -u -D
source <(clerk-credential-helper completion zsh)
show() { print -r -- $'\n'"<$BUFFER>" >/dev/tty; BUFFER= }
zle -N show
bindkey '^G' show
`)
			return []string{"zsh", "-d", "-i"}
		},
		"fish": func(p *person, home string) []string {
			write(p.T, home+"/init.fish", `set -g fish_greeting
function fish_prompt; echo 'ready> '; end
bind \cg 'printf "\n<%s>\n" (commandline); commandline ""; commandline -f repaint'
clerk-credential-helper completion fish | source
`)
			return []string{"fish", "--no-config", "-i", "-C", "source " + home + "/init.fish"}
		},
	} {
		t.Run(shell, func(t *testing.T) {
			testworld.Need(t, shell)
			home := t.TempDir()
			config := filepath.Join(home, "config.toml")
			write(t, config, `[profiles.acme]
issuer = "https://clerk.acme.dev"
client_id = "x"
hosts = ["git.acme.dev", "registry.acme.dev:5000"]
`)
			bin := filepath.Join(home, "bin")
			if err := os.Mkdir(bin, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(bin, "xylophone"), "#!/bin/sh\n")
			if err := os.Chmod(filepath.Join(bin, "xylophone"), 0o700); err != nil {
				t.Fatal(err)
			}
			p := sitDown(t, 100, map[string]string{"TERM": "xterm", "CLERK_HELPER_CONFIG": config, "PATH": bin + ":" + os.Getenv("PATH"),
				"HISTFILE": "", "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home})
			if err := os.Mkdir(filepath.Join(p.dir, "violins"), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(p.dir, "violins.txt"), "")
			command := begin(p, home)
			cmd := p.run(command[0], command[1:]...)
			p.see(`ready> `)
			seen := func() int {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.seen.Len()
			}
			for _, row := range []struct{ reason, typed, want string }{
				{"a command", "doct", "doctor"},
				{"a command below another", "companion c", "companion check"},
				{"what help is about", "help compan", "help companion"},
				{"a flag", "doctor --verb", "doctor --verbose"},
				{"a value in the word of its flag", "login --flow=dev", "login --flow=device"},
				{"a value behind its flag", "login --flow dev", "login --flow device"},
				{"a profile", "status ac", "status acme"},
				{"a host with a port", "explain registry.acme.dev:50", "explain registry.acme.dev:5000"},
				{"a host without its port yet", "explain registry", "explain registry.acme.dev:5000"},
				{"a folder, and no file", "companion add viol", "companion add violins/"},
				{"another program", "exec --env X -- xyloph", "exec --env X -- xylophone"},
				{"a file for it", "exec --profile=acme --env X -- xylophone violins.t", "exec --profile=acme --env X -- xylophone violins.txt"},

				{"nothing below a command", "companion x", "companion x"},
				{"nothing for a tool's command", "era", "era"},
				{"no command", "frob", "frob"},
				{"no host", "explain nosuch.acme.dev:1", "explain nosuch.acme.dev:1"},
				{"no file where none belongs", "doctor viol", "doctor viol"},
			} {
				before := seen()
				p.typeIn("clerk-credential-helper " + row.typed + "\t\a")
				got := p.seeAfter(before, `<clerk-credential-helper ([^>]*)>\r?\n`)[1]
				if strings.TrimRight(got, " ") != row.want || row.typed == row.want && got != row.typed {
					t.Errorf("%s: %q becomes %q, not %q", row.reason, row.typed, got, row.want)
				}
			}
			before := seen()
			p.typeIn("clerk-credential-helper companion \t\t")
			p.seeAfter(before, `Probe a companion page that is deployed`)
			p.typeIn("\a")
			p.seeAfter(before, `<clerk-credential-helper companion `)
			p.typeIn("exit 0\r")
			p.end(cmd, 0)
		})
	}
}
