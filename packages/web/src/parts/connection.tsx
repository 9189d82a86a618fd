/** Says when the page does not hear the coordinator. */
import type { RunStatus } from '@lockstep/protocol';
import type { Connection } from '../data/stream.ts';
import { moment } from '../words/format.ts';
import { isOver } from '../words/sentences.ts';
import { Warning } from './icons.tsx';

interface Props {
  readonly connection: Connection;
  readonly status: RunStatus | undefined;
}

function sentence({ connection, status }: Props): string | undefined {
  if (connection.state !== 'lost') return undefined;
  if (!status || connection.heardAt === undefined) return 'The coordinator does not answer, trying again.';
  const at = moment(connection.heardAt);
  if (isOver(status)) return `The coordinator has ended (${at}). The page goes on when another run starts here.`;
  return `Connection lost, trying again. Below is what was known at ${at}.`;
}

export function ConnectionNotice(props: Props) {
  const text = sentence(props);
  return (
    // Always there, so that screen readers notice when it changes.
    <div role="status" class="connection">
      {text && (
        <p class="notice is-warning">
          <Warning />
          <span>{text}</span>
        </p>
      )}
    </div>
  );
}
