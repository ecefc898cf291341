//! Pushes, merge requests and builds with plausible contents: the simulator has no repositories, so these
//! are made up when they are sent.

use serde_json::{Map, Value, json};

use crate::dice::Dice;
use crate::hooks::body::{base, user};
use crate::world::World;
use crate::world::project::Project;

/// Events of code, as often as they come up.
const CODE_EVENTS: [&str; 8] = [
    "GIT_PUSHED",
    "GIT_PUSHED",
    "GIT_MR_CREATED",
    "GIT_MR_UPDATED",
    "GIT_MR_MERGED",
    "GIT_MR_CLOSED",
    "CI_JOB_STARTED",
    "CI_JOB_FINISHED",
];

/// Some event of code.
pub(crate) fn some_event(dice: &mut Dice) -> &'static str {
    dice.pick(&CODE_EVENTS).copied().unwrap_or("GIT_PUSHED")
}

/// What an event of code carries; nothing for other events.
pub(crate) fn entity(world: &World, project: &Project, event: &str, dice: &mut Dice) -> Map<String, Value> {
    let mut scene = Scene { world, project, dice, at: world.now() };
    let entity = match event {
        "GIT_PUSHED" => scene.push(),
        _ if event.starts_with("GIT_MR_") => scene.merge_request(event),
        _ if event.starts_with("CI_JOB_") => scene.build(event),
        _ => Value::Null,
    };
    match entity {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

struct Scene<'a> {
    world: &'a World,
    project: &'a Project,
    dice: &'a mut Dice,
    at: i64,
}

impl Scene<'_> {
    fn push(&mut self) -> Value {
        let branch = if self.dice.chance(0.6) { "master".to_owned() } else { self.branch() };
        let (before, after) = (self.sha(), self.sha());
        let mut commits = vec![self.commit(&after)];
        for _ in 0..self.dice.below(3) {
            let earlier = self.sha();
            commits.push(self.commit(&earlier));
        }
        let author = self.author();
        json!({
            "ref": format!("refs/heads/{branch}"),
            "before": before,
            "after": after,
            "created": false,
            "deleted": false,
            "compare": format!("{}/compare/{before}...{after}", self.depot_page()),
            "head_commit": commits.first(),
            "commits": commits,
            "pusher": author,
            "repository": self.repository(),
        })
    }

    fn merge_request(&mut self, event: &str) -> Value {
        let number = 1 + self.dice.below(5_000);
        let page = format!("{}/merge/{number}", self.depot_page());
        let merged = event == "GIT_MR_MERGED";
        let state = match event {
            "GIT_MR_MERGED" => "ACCEPTED",
            "GIT_MR_CLOSED" => "REFUSED",
            _ => "CANMERGE",
        };
        let (head, base_sha, merge) = (self.sha(), self.sha(), self.sha());
        let branch = self.branch();
        let person = user(self.world, self.world.owner);
        json!({
            "mergeRequest": {
                "id": self.dice.below(1_000_000),
                "html_url": page,
                "patch_url": format!("{page}.patch"),
                "diff_url": format!("{page}.diff"),
                "number": number,
                "state": state,
                "title": format!("合并 {branch} 🔀"),
                "body": "",
                "user": person,
                "created_at": self.at - 3_600_000,
                "updated_at": self.at,
                "merge_commit_sha": if merged { merge } else { String::new() },
                "merged": merged,
                "comments": self.dice.below(10),
                "commits": 1 + self.dice.below(10),
                "additions": self.dice.below(500),
                "deletions": self.dice.below(500),
                "changed_files": 1 + self.dice.below(20),
                "head": {"ref": branch, "sha": head, "user": person, "repo": self.repository()},
                "base": {"ref": "master", "sha": base_sha, "user": person, "repo": self.repository()},
            },
            "repository": self.repository(),
        })
    }

    fn build(&mut self, event: &str) -> Value {
        let job = 40_000 + self.dice.below(20);
        let finished = event == "CI_JOB_FINISHED";
        let status = match (finished, self.dice.below(4)) {
            (false, _) => "QUEUED",
            (true, 0) => "FAILED",
            (true, _) => "SUCCEED",
        };
        let (id, commit) = (self.dice.below(1_000_000), self.sha());
        let runs = matches!(event, "CI_JOB_STARTED" | "CI_JOB_FINISHED");
        let build = runs.then(|| {
            json!({
                "id": id,
                "number": 1 + self.dice.below(2_000),
                "cci_id": format!("cci-{job}-{id}"),
                "cause": "代码更新触发",
                "commit_id": commit,
                "branch": "master",
                "job_id": job,
                "trigger_user_id": self.world.owner,
                "created_at": self.at - 52_000,
                "updated_at": self.at,
                "failed_message": "",
                "duration": if finished { 52_000 } else { 0 },
                "status": status,
            })
        });
        let mut ci = json!({
            "id": job,
            "name": format!("job{job}"),
            "branch_regex": "",
            "creator_id": self.world.owner,
            "project_id": self.project.id,
            "depot_id": self.depot(),
            "jenkins_file_path": "Jenkinsfile",
            "created_at": self.project.created_at,
            "updated_at": self.at,
            "trigger_method": "REF_CHANGE",
        });
        if let (Value::Object(ci), Some(build)) = (&mut ci, build) {
            ci.insert("build".to_owned(), build);
        }
        json!({"ci": ci, "repository": self.repository()})
    }

    fn commit(&mut self, sha: &str) -> Value {
        let author = self.author();
        json!({
            "id": sha,
            "message": format!("Update part {} 修复\n", self.dice.below(1_000)),
            "timestamp": self.at,
            "url": format!("{}/commit/{sha}", self.depot_page()),
            "author": author,
            "committer": author,
            "added": ["a.txt"],
            "removed": [],
            "modified": ["README.md"],
        })
    }

    fn author(&self) -> Value {
        let known = self.world.users.get(&self.world.owner);
        let (name, login) = known.map_or(("", ""), |user| (user.name.as_str(), user.global_key.as_str()));
        json!({"name": name, "email": "dev@example.com", "username": login})
    }

    fn repository(&self) -> Value {
        let (team, project) = (&self.world.team, &self.project.name);
        json!({
            "id": self.depot(),
            "name": project,
            "full_name": format!("{team}/{project}/{project}"),
            "owner": user(self.world, self.world.owner),
            "private": true,
            "html_url": self.depot_page(),
            "description": "",
            "fork": false,
            "created_at": self.project.created_at,
            "updated_at": self.project.created_at,
            "clone_url": format!("https://e.coding.net/{team}/{project}/{project}.git"),
            "ssh_url": format!("git@e.coding.net:{team}/{project}/{project}.git"),
            "default_branch": "master",
            "vcs_type": "git",
        })
    }

    fn depot(&self) -> u32 {
        self.project.id.saturating_add(7_000_000)
    }

    fn depot_page(&self) -> String {
        let project = &self.project.name;
        format!("{}/p/{project}/d/{project}/git", base(self.world))
    }

    fn branch(&mut self) -> String {
        format!("feature-{}", self.dice.below(100))
    }

    fn sha(&mut self) -> String {
        format!("{:016x}{:016x}{:08x}", self.dice.bits(), self.dice.bits(), self.dice.bits() >> 32)
    }
}
