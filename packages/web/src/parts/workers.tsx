/** Who computes: each worker with its share of the shards, its speed, and what it is waited for. */
import type { MemberStatus, RunStatus } from '@lockstep/protocol';
import { bytes, milliseconds, NONE, plural, rate } from '../words/format.ts';
import { MemberIcon } from './icons.tsx';
import { Join } from './join.tsx';
import { ScrollBox } from './scroll-box.tsx';

/** Where its shards lie among all of them, and how many they are. */
function Share({ member: { shards }, of }: { readonly member: MemberStatus; readonly of: number | undefined }) {
  const count = shards ? shards.to - shards.from : 0;
  if (!shards || !of || count === 0) return <span class="quiet">none</span>;
  const place = { '--from': shards.from / of, '--share': count / of };
  return (
    <span class="share">
      <span class="share-bar" style={place} aria-hidden="true" />
      <span class="share-text">
        {count} of {of}
      </span>
    </span>
  );
}

function Row({ member, of }: { readonly member: MemberStatus; readonly of: number | undefined }) {
  const { id, name, kind, engine, device, threads, runtime, state, reason } = member;
  const { samplesPerSecond, roundTripMs, waitMs, bytesSent, bytesReceived } = member;
  return (
    <tr>
      <th scope="row">
        <span class="worker-name">{name || id}</span>
        <span class="quiet">{[kind, name && id !== kind && id].filter(Boolean).join(', ')}</span>
      </th>
      <td>
        <span class={`member-state is-${state}`}>
          <MemberIcon state={state} /> {state}
        </span>
        {reason && <span class="quiet reason">{reason}</span>}
      </td>
      <td>
        <span>{[engine, device].filter(Boolean).join(' on ') || NONE}</span>
        <span class="quiet">{[plural(threads, 'thread'), runtime].filter(Boolean).join(', ')}</span>
      </td>
      <td>
        <Share member={member} of={of} />
      </td>
      <td class="number">{samplesPerSecond === undefined ? NONE : rate(samplesPerSecond)}</td>
      <td class="number">{roundTripMs === undefined ? NONE : milliseconds(roundTripMs)}</td>
      <td class="number">{waitMs === undefined ? NONE : milliseconds(waitMs)}</td>
      <td class="number">
        <span>{bytes(bytesSent)} out</span>
        <span class="quiet">{bytes(bytesReceived)} in</span>
      </td>
    </tr>
  );
}

export function Workers({ status: { members, model } }: { readonly status: RunStatus }) {
  return (
    <section class="card" aria-labelledby="workers-heading">
      <h2 id="workers-heading">Workers</h2>
      {members.length === 0 ? (
        <p class="quiet">Nobody has joined yet.</p>
      ) : (
        <ScrollBox label="Workers" class="workers-box">
          <table class="workers">
            <thead>
              <tr>
                <th scope="col">Worker</th>
                <th scope="col">State</th>
                <th scope="col">Computes with</th>
                <th scope="col">Shards</th>
                <th scope="col" class="number">
                  Samples/s
                </th>
                <th scope="col" class="number">
                  Round trip
                </th>
                <th scope="col" class="number">
                  Waited for
                </th>
                <th scope="col" class="number">
                  Traffic
                </th>
              </tr>
            </thead>
            <tbody>
              {members.map((member) => (
                <Row key={member.id} member={member} of={model?.shards} />
              ))}
            </tbody>
          </table>
        </ScrollBox>
      )}
      <Join />
    </section>
  );
}
