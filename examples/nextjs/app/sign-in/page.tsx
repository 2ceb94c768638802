import { SignInForm } from "./form";

export default function Page() {
  return (
    <main className="narrow">
      <section className="card">
        <h1>Sign in</h1>
        <SignInForm />
        <p className="quiet">
          For trying things out only: sign in as <code>ada</code> or <code>grace</code>, each with
          the name as the password.
        </p>
      </section>
    </main>
  );
}
