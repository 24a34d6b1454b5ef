"""The `fovea` command: what is not a stage of the pipeline.

Modules that take long to import are imported inside the commands, so that `fovea --help` is quick.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fovea.errors import UserError
from fovea.params.section import load, read_sections

RECIPES = Path("recipes")


class OneLineErrors(TyperGroup):
    """Ends a `UserError` with its one line and exit code 1; any other error keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="What is not a stage of the pipeline. The pipeline itself runs with `dvc repro`.",
)
cache = typer.Typer(no_args_is_help=True, help="The images as they are stored for training.")
app.add_typer(cache, name="cache")


@app.callback()
def _options() -> None:
    """Keeps `fovea <command>` as it is, however many commands there are."""


@app.command()
def recipe(
    name: Annotated[str | None, typer.Argument(help="Name of the recipe, such as skin.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Show the recipes and change nothing.")] = False,
    variant: Annotated[str | None, typer.Option(help="Variant of the recipe; its first one if left out.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few epochs on small images: a trial on a CPU.")] = False,
    params: Annotated[Path, typer.Option(help="File that is changed.")] = Path("params.yaml"),
) -> None:
    """Write the settings of a published piece of work into params.yaml, and show what changed."""
    from fovea import recipes

    if show or name is None:
        _list_recipes()
        return
    found = recipes.read_recipe(name, RECIPES)
    choice = recipes.choose(found, name, variant, quick)
    changes = recipes.write_recipe(params, recipes.resolve(found, choice))
    for change in changes or [f"{params} holds these settings already"]:
        print(change)
    _print_next_steps(found["layout"], Path("data/raw") / read_sections(params)["dataset"]["name"])


def _list_recipes() -> None:
    from fovea import recipes

    for name in recipes.recipe_names(RECIPES):
        found = recipes.read_recipe(name, RECIPES)
        print(f"{name:<16}{found['summary']}")
        if "variants" in found:
            print(f"{'':<16}variants: {', '.join(found['variants'])}")


def _print_next_steps(layout: str, folder: Path) -> None:
    there = "is there" if folder.exists() else "is not there yet"
    print(f"\nImage set: {folder} ({there})")
    print("\n".join(f"  {line}" for line in layout.splitlines()))
    print("Next: dvc repro")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="Folder, archive, table or .npz with the images.")],
    write: Annotated[bool, typer.Option("--write", help="Into params.yaml, and link PATH to data/raw/<name>.")] = False,
    copy: Annotated[bool, typer.Option("--copy", help="As --write, with a copy instead of a link.")] = False,
    dvc_add: Annotated[bool, typer.Option("--dvc-add", help="As --copy, and track the copy with DVC.")] = False,
    name: Annotated[str | None, typer.Option(help="Name of the set; derived from PATH if left out.")] = None,
    layout: Annotated[int | None, typer.Option(help="Which one, where several layouts fit.")] = None,
    labels: Annotated[str | None, typer.Option(help="Classes of the labels, such as H=normal,P=myopia.")] = None,
    params: Annotated[Path, typer.Option(help="File that is changed.")] = Path("params.yaml"),
) -> None:
    """Find out how the images of a folder are labelled, and write it into params.yaml."""
    from fovea.inspect.command import Wish
    from fovea.inspect.command import inspect as run

    how: Any = "dvc-add" if dvc_add else "copy" if copy else "link" if write else None
    raise typer.Exit(run(path, Wish(name, layout, labels, how, params)))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="Folder that is made.")],
    images: Annotated[Path | None, typer.Argument(help="Folder, archive, table or .npz with the images.")] = None,
) -> None:
    """Make a project of its own: a git repository with the pipeline and its code, on IMAGES or on the demo."""
    from fovea.init import init as run

    raise typer.Exit(run(folder, images))


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="Branch, tag, commit, experiment, or a manifest file (.parquet).")],
    new: Annotated[str | None, typer.Argument(help="Likewise; the workspace if left out.")] = None,
    csv: Annotated[Path | None, typer.Option(help="File for the full list, a row for each changed image.")] = None,
) -> None:
    """Compare two versions of an image set: images added, removed, relabelled, changed, renamed, moved."""
    from fovea import versions
    from fovea.tables import write_table

    before, after = versions.read_version(old), versions.read_version(new)
    changes = versions.compare_versions(before, after)
    print(f"{before.name}: {len(before.images)} images; {after.name}: {len(after.images)} images")
    for version in (before, after):
        if not version.is_split:
            print(f"{version.name} has no split of these images: parts are those that the set gives")
    print("\n".join(versions.describe(changes)))
    if csv is not None:
        write_table(csv, changes)
        print(f"{csv}: {len(changes)} images")


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(help="Experiments, branches, tags, commits, run ids, workspace.")],
    out: Annotated[Path, typer.Option(help="HTML file that is written.")] = Path("reports/compare.html"),
) -> None:
    """Hold results against the first: parameters, figures on the same test images, versions of the image set."""
    from fovea.compare.command import compare as run

    run(names, out)


@app.command()
def figures(
    names: Annotated[list[str], typer.Argument(help="Experiments, branches, tags or commits with a finished run.")],
    out: Annotated[Path, typer.Option(help="Folder for the PNG files.")] = Path("figures"),
) -> None:
    """Draw runs beside each other: accuracy per epoch, a figure for each network, and normalised confusion matrices."""
    from fovea import published

    experiments = [published.read_experiment(name) for name in names]
    for path in published.write_figures(experiments, out):
        print(path)


@app.command()
def sweep(
    name: Annotated[str, typer.Argument(help="Name of the sweep, or a recipe: recipes/NAME.yaml, all variants of it.")],
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings of each fold, train.seed from 0; or 3.")] = None,
    folds: Annotated[int | None, typer.Option(min=0, help="Folds of the cross-validation, 0: none; or 5.")] = None,
    settings: Annotated[list[str] | None, typer.Option("-S", help="key=value of params.yaml for all of them.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Of a recipe, its trial on a CPU.")] = False,
) -> None:
    """Train with several seeds and folds, or all variants of a recipe, as experiments of DVC, and gather their figures.
    Goes on where it stopped."""
    from fovea.sweep.command import sweep as run

    run(name, seeds, folds, settings or [], quick)


@app.command()
def sync(
    all_again: Annotated[bool, typer.Option("--all", help="Hold every known run against its files again.")] = False,
) -> None:
    """Give every result of the project exactly one run in MLflow: make those that are missing, complete the others."""
    from fovea.sync.command import sync as run

    run(all_again)


@app.command()
def push(
    remote: Annotated[str | None, typer.Option(help="Name of a remote of DVC; the default one if left out.")] = None,
) -> None:
    """Send images, results and all trainings that DVC can restore to a remote, so that no other machine repeats one."""
    from fovea.push import push as run

    run(remote)


@app.command()
def doctor() -> None:
    """Look at everything that a run needs (Python, GPU, DVC, MLflow, disks, remote), and say what to do about it."""
    from fovea.doctor.command import doctor as run

    raise typer.Exit(run())


@app.command()
def lr_find(
    out: Annotated[Path, typer.Option(help="Folder for lr_find.csv and lr_find.png.")] = Path("reports"),
) -> None:
    """Try learning rates from 1e-7 to 10 on the full phase, and draw the loss at each. Keeps no model."""
    from fovea.lr_curve import find

    print("\n".join(find(out)))


@cache.command()
def show(
    image: Annotated[str, typer.Option(help="Address of the image in the manifest, or the end of it.")],
    out: Annotated[Path | None, typer.Option(help="PNG file; <image>-seen.png if left out.")] = None,
) -> None:
    """Draw one image as it was photographed, as it is stored, and as the model gets it in a few epochs."""
    from fovea import contact_sheet
    from fovea.params.train import TrainParams

    print(contact_sheet.write_sheet(Path("data"), image, load("train", TrainParams), out))


@app.command()
def predict(
    images: Annotated[list[str], typer.Argument(help="Images, folders, patterns in quotes, archives or URLs.")],
    model: Annotated[str, typer.Option(help="File, or models:/NAME@ALIAS of the registry.")] = "models/model.pt",
    out: Annotated[Path, typer.Option(help="CSV or Parquet file that is written.")] = Path("predicted.csv"),
    at: Annotated[str | None, typer.Option(help="Operating point of the label, such as sensitivity=0.9.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Heat maps of what each label rests on.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps, or auto: the best one here.")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Threads that decode; 0: one for each core.")] = 0,
) -> None:
    """Predict new images: probabilities, calibrated ones, a label, and whether an image is unlike the training ones."""
    from fovea.classifier.command import predict as run

    run(images, model, out, at, explain, device, workers)


@app.command()
def promote(
    run: Annotated[str, typer.Argument(help="Experiment, branch, tag, commit, MLflow run id, or workspace.")],
    name: Annotated[str, typer.Option(help="Name of the registered model.")] = "fovea",
    by: Annotated[str, typer.Option(help="Figure that decides, such as auroc_macro.")] = "balanced_accuracy",
    margin: Annotated[float, typer.Option(min=0, help="How much worse it may be, by the interval.")] = 0,
    force: Annotated[str, typer.Option(help="Why it becomes the champion whatever the figures say.")] = "",
) -> None:
    """Register a run's model in MLflow, and make it the champion if, on the same test images, that does no harm."""
    from fovea.promote.command import promote as move

    raise typer.Exit(0 if move(run, name, by, margin, force) else 1)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="File that is written, .pt or .onnx.")],
    model: Annotated[str, typer.Option(help="File, or models:/NAME@ALIAS of the registry.")] = "models/model.pt",
    int8: Annotated[bool, typer.Option("--int8", help="ONNX in eight bits, and what that costs.")] = False,
    cache: Annotated[Path, typer.Option(help="Images of the training, for the comparison.")] = Path("data/cache"),
) -> None:
    """Write a model with all that prediction takes as one file for PyTorch or ONNX, checked against the original."""
    from fovea.classifier.export import export as run

    run(out, model, int8, cache)


@app.command()
def export_predictions(
    out: Annotated[Path, typer.Argument(help="CSV file that is written.")],
    predictions: Annotated[Path, typer.Option(help="File that is read.")] = Path("reports/predictions.csv"),
) -> None:
    """Write the test part's predictions as img_path,label,predict with class numbers."""
    from fovea import published

    print(f"{out}: {published.export_predictions(predictions, out)} test images")


@app.command()
def prune(dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it and free nothing.")] = False) -> None:
    """Show what lies in .cache/fovea, and free what no branch, tag, experiment or the workspace needs."""
    from fovea.prune.command import prune as run

    run(free=not dry_run)


if __name__ == "__main__":
    app()
