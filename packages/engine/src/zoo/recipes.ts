/** The models that Lockstep knows by name. */
import { cnn } from './cnn.ts';
import { mlp } from './mlp.ts';
import type { ZooModel } from './recipe.ts';
import { resnet } from './resnet.ts';

// What their recipes settle was chosen on 5,000 pictures held out from training (--validation 5000).
export const zoo = { mlp, cnn, resnet } as const satisfies { [name: string]: ZooModel };

export type ZooName = keyof typeof zoo;
export const zooNames = Object.keys(zoo) as ZooName[];
