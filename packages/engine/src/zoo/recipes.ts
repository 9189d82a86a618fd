/** The models that Lockstep knows by name, and the settings. */
import { cnn } from './cnn.ts';
import { mlp, quick } from './mlp.ts';
import type { Recipe, ZooModel } from './recipe.ts';
import { resnet, resnetFine } from './resnet.ts';

// What their recipes settle was chosen on 5,000 pictures held out from training (--validation 5000).
export const zoo = { mlp, cnn, resnet, 'resnet-fine': resnetFine } as const satisfies { [name: string]: ZooModel };

export type ZooName = keyof typeof zoo;
export const zooNames = Object.keys(zoo) as ZooName[];

/** Settings with names of their own: what `--recipe` chooses from. Each is made for a model, and may train another. */
export const recipes = {
  mlp: { model: 'mlp', recipe: mlp.recipe },
  cnn: { model: 'cnn', recipe: cnn.recipe },
  resnet: { model: 'resnet', recipe: resnet.recipe },
  'resnet-fine': { model: 'resnet-fine', recipe: resnetFine.recipe },
  quick: { model: 'mlp', recipe: quick },
  best: { model: 'resnet-fine', recipe: resnetFine.recipe },
} as const satisfies { [name: string]: { readonly model: ZooName; readonly recipe: Recipe } };

export const recipeNames = Object.keys(recipes) as (keyof typeof recipes)[];
