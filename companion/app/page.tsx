// The front page when the companion runs by itself.
export default function Page() {
  return (
    <main style={{ maxWidth: "40rem", margin: "15vh auto", padding: "0 16px" }}>
      <h1>Companion of clerk-credential-helper</h1>
      <p>
        Command-line tools sign in here. There is nothing to start from this page: run{" "}
        <code>clerk-credential-helper login</code> in a terminal.
      </p>
    </main>
  );
}
