// Package companionpage adds the companion page to a web app, and checks one that is deployed.
//
// For adding, the folder of a Next.js app comes in, and the files of the page go into it, with what is left to do by hand.
// For checking, the origin of an app comes in, and a line for each thing that an attacker or the helper would ask goes out:
// whether it holds, what was seen instead, and the cure. A check keeps no session: the tokens of a sign-in for it stay in
// here, and no line holds a code or a token.
package companionpage
