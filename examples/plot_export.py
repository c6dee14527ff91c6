"""
Exporting a reward, and comparing
=================================

A fitted reward leaves Python as layers behind its encoder. An export is loaded again
and compared with the model before its folder appears; here the comparison is drawn.
"""

# %%
# The folder that is written needs no skreward: sentence-transformers reads it.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sentence_transformers import SentenceTransformer
from sklearn.pipeline import make_pipeline

from skreward import BradleyTerryMLPRegressor, LLMEmbeddingTransformer
from skreward.datasets import make_text_preferences
from skreward.export import render, to_sentence_transformer

data = make_text_preferences(20, 8, 400, random_state=0)
model = make_pipeline(
    LLMEmbeddingTransformer(dtype="float32"),
    BradleyTerryMLPRegressor((64,), random_state=0),
).fit(data.pairs, data.y)
rewards = model.predict(data.texts)
with tempfile.TemporaryDirectory() as folder:
    to_sentence_transformer(model, Path(folder) / "reward-encoder")
    exported = SentenceTransformer(str(Path(folder) / "reward-encoder"), device="cpu")
    again = exported.encode(render(model, data.texts))[:, 0]
print(f"largest difference {np.abs(again - rewards).max():.1e}")

figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
axes[0].plot(rewards, again, ".", alpha=0.5)
axes[0].axline((0, 0), slope=1, color="0.4", linestyle=":")
axes[0].set(xlabel="Reward in Python", ylabel="Reward of the export", title="Rewards")
axes[1].hist(np.log10(np.abs(again - rewards) + 1e-9), bins=25)
axes[1].set(
    xlabel="log10 of the difference (-9: none)", ylabel="Texts", title="Differences"
)
figure.suptitle("A network on MiniLM, exported to sentence-transformers")
plt.show()

# %%
# Differences are those of float32. An export that differs by more than its tolerance
# is not written, and the error says by how much. What layers cannot express, such as
# trees or a quantile transform, is refused by name.
