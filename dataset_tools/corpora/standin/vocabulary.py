"""The vocabulary of MPII Cooking 2."""

# The 222 names of attributeMap, in the file's order; verbs end in V.
_ATTRIBUTE_MAP = """
addV, apple, arils, arrangeV, asparagus, avocado, bag, baking-paper, baking-tray, blender, bottle, bowl, box-grater,
bread, bread-knife, broccoli, bun, bundle, butter, carafe, carrot, cauliflower, change temperatureV, cheese,
chefs-knife, chilli, chive, chocolate, chopV, cleanV, closeV, coffee, coffee-container, coffee-machine,
coffee-powder, colander, cooking-spoon, corn, counter, cream, cucumber, cup, cupboard, cut apartV, cut diceV, cut
off endsV, cut out insideV, cut stripesV, cutV, cutting-board, dough, drawer, dryV, egg, eggshell,
electricity-column, electricity-plug, enterV, fig, fillV, filter-basket, finger, flat-grater, flower-pot, food,
fork, fridge, front-peeler, frying-pan, garbage, garlic-bulb, garlic-clove, gatherV, ginger, glass, grateV,
green-beans, ham, hand, handle, hangV, hook, hot-chocolate-powder-bag, hot-dog, jar, ketchup, kettle-power-base,
kiwi, knife, knife-sharpener, kohlrabi, ladle, leek, lemon, lid, lime, mango, masher, measuring-pitcher,
measuring-spoon, milk, mixV, mortar, moveV, mushroom, net-bag, oil, onion, open closeV, open eggV, open tinV, openV,
orange, oregano, oven, packageV, paper, paper-bag, paper-box, parsley, pasta, peach, pear, peel, peelV, pepper,
peppercorn, pestle, philadelphia, pineapple, plastic-bag, plastic-bottle, plastic-box, plastic-paper-bag, plate,
plugV, plum, pomegranate, pot, potato, pourV, pull apartV, pull upV, pullV, puree, pureeV, purgeV, push downV, put
inV, put lidV, put onV, raspberries, readV, remove from packageV, rip openV, salad, salami, salt, scratch offV,
screw closeV, screw openV, seed, shakeV, shapeV, side-peeler, sink, sliceV, smellV, soup, spatula, spice,
spice-holder, spice-shaker, spiceV, spinach, sponge, sponge-cloth, spoon, spreadV, squeezeV, squeezer, stampV,
stirV, stone, stove, strewV, sugar, table-knife, take apartV, take lidV, take outV, tap, tapV, tasteV, tea-egg,
tea-herbs, teapot, teaspoon, test temperatureV, throw in garbageV, tin, tin-opener, tissue, toaster, tomato, tongs,
top, towel, tube, turn offV, turn onV, turn overV, unplugV, washV, water, water-kettle, whipV, wire-whisk,
wrapping-paper, wring outV, yolk, zucchini
"""
ATTRIBUTE_MAP = tuple(" ".join(name.split()) for name in _ATTRIBUTE_MAP.split(","))
