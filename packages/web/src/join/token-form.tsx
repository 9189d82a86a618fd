/** Where the token of the coordinator is typed in. */
import { useState } from 'preact/hooks';

export function TokenForm({ onToken }: { readonly onToken: (token: string) => void }) {
  const [token, setToken] = useState('');
  const submit = (event: Event): void => {
    event.preventDefault();
    const typed = token.trim();
    if (typed !== '') onToken(typed);
  };
  return (
    <form class="token" onSubmit={submit}>
      <label>
        <span>Token</span>
        <input
          class="field"
          type="password"
          autocomplete="off"
          spellcheck={false}
          value={token}
          onInput={({ currentTarget }) => setToken(currentTarget.value)}
        />
      </label>
      <button type="submit" class="button is-large">
        Join
      </button>
    </form>
  );
}
