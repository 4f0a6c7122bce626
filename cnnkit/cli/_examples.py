"""More examples for the help of commands whose own text has fewer than three."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "verify": ("verify old.jpg new.jpg --json",),
    "embed": ("embed team.jpg --largest -o boss.csv",),
    "samples": ("samples", "samples . --skip-existing"),
    "export": ("export imagenet --format tflite -o imagenet.tflite",),
    "doctor": ("doctor", "doctor --report report.txt"),
    "studio": ("studio --port 9000",),
    "faces enroll": ("faces enroll -r people/", "faces enroll Ada team.jpg --face 2"),
    "faces identify": (
        "faces identify holiday/ -r --jsonl",
        "faces identify party.jpg --threshold 0.5 -o named.png",
    ),
    "faces list": ("faces list --json", "faces list --gallery team.db"),
    "faces remove": ("faces remove Ada Bob", "faces remove Ada --gallery team.db"),
    "faces rename": ("faces rename ada Ada", "faces rename Bob Robert --gallery team.db"),
    "faces export": ("faces export - > people.jsonl", "faces export all.jsonl --gallery team.db"),
    "faces import": (
        "faces import people.jsonl --gallery team.db",
        "faces import - < people.jsonl",
    ),
    "faces cluster": ("faces cluster holiday/ -r", "faces cluster photos/ --threshold 0.5 -o who/"),
    "faces crop": ("faces crop team/ -r -o heads/", "faces crop a.jpg -o heads/ --largest"),
    "faces calibrate": ("faces calibrate people/ --json", "faces calibrate lfw/ --pairs pairs.txt"),
    "visualize shapes": (
        "visualize shapes '28x28x1 conv5-6p pool2 conv5-16 pool2 fc120 fc84 fc10'",
        "visualize shapes '224x224x3 conv3-64p conv3-64p pool2' --json",
    ),
    "visualize model": (
        "visualize model resnet18 --plot resnet18.png",
        "visualize model lenet5 -v",
    ),
    "visualize edges": ("visualize edges cat.jpg --kernel sobel -o edges.png",),
    "visualize activations": ("visualize activations cat.jpg layer2 -o layer2.png",),
    "visualize filters": ("visualize filters --model runs/pets -o filters.png",),
    "visualize maximize": ("visualize maximize layer5 --unit 3 -o unit3.png",),
    "visualize gradcam": ("visualize gradcam street.jpg --class bicycle -o why.png",),
    "visualize occlusion": ("visualize occlusion cat.jpg --model runs/pets -o where.png",),
    "visualize words": (
        "visualize words good bad --model runs/reviews",
        "visualize words happy --model runs/reviews --plot words.png",
    ),
    "weights list": ("weights list --json", "weights list | grep missing"),
    "weights warm": ("weights warm detect caption", "CNNKIT_HOME=/srv/cnnkit cnnkit weights warm"),
    "weights fetch": ("weights fetch vgg16", "weights fetch yolo-fastest-xl"),
    "weights import": (
        "weights import vgg16 vgg16.h5",
        "weights import my.weights --cfg my.cfg -o mine.keras",
    ),
    "weights path": ("weights path coco80", "cp $(cnnkit weights path coco80) ."),
    "weights check": ("weights check vgg19", "weights check coco80"),
    "weights card": ("weights card captions", "weights card vgg16-hed"),
    "train backbone": (
        "train backbone --data pictures --teacher teacher.npz -o runs/backbone",
        "train backbone --help",
    ),
    "train decoder": (
        "train decoder --data pictures --time-budget 600 -o runs/quick",
        "train decoder --data pictures --start old.npz -o runs/better",
    ),
    "train faces": (
        "train faces people/ --loss triplet -o runs/faces",
        "train faces people/ --loss binary --form chi-square -o runs/faces",
    ),
    "train detect": ("train detect --resume -o runs/people --epochs 60",),
    "evaluate faces": (
        "evaluate faces --pairs pairs.txt --images lfw --json",
        "evaluate faces --pairs pairs.txt --images lfw --model runs/faces",
    ),
    "evaluate classify": (
        "evaluate classify pets/ --split test --json",
        "evaluate classify photos/ --model imagenet",
    ),
    "evaluate caption": (
        "evaluate caption coco/ --json",
        "evaluate caption captions.csv --beams 8 -o report/",
    ),
    "evaluate detect": (
        "evaluate detect people/ --split val --json",
        "evaluate detect coco/ --all-classes",
    ),
    "evaluate segment": (
        "evaluate segment masks/ --model runs/road --json",
        "evaluate segment masks/ --model voc21 -o report/",
    ),
    "evaluate text": (
        "evaluate text new.csv --model runs/reviews --json",
        "evaluate text mail.csv --model runs/mail -o report/",
    ),
}
